import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dae_aqa.datasets.safe_pickle import load_plain_pickle
from dae_aqa.errors import AnnotationError

PLAIN = {(1, 2): {"difficulty": 3.2, "name": "pike", "marks": [1, -2.5, None, True]}, (3, 4): {}}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back_equal(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol=protocol))
    assert load_plain_pickle(path) == PLAIN


class Runs:
    """Pickles as a call of any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "ran"
    path = tmp_path / "code.pkl"
    path.write_bytes(pickle.dumps([PLAIN, Runs(os.system, f"touch {trace}")], protocol=protocol))
    with pytest.raises(
        AnnotationError, match=r"it asks for (posix|nt)\.system.*Nothing in it was run"
    ):
        load_plain_pickle(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists(), "the test's pickle must be one that runs code where nothing stops it"


@pytest.mark.parametrize(
    "value",
    [
        Runs(eval, "1"),
        Runs(getattr, (), "__class__"),
        Runs(subprocess.run, ["true"]),
        Path("x"),
        {1, 2},
        np.random.default_rng,
    ],
    ids=["eval", "getattr", "subprocess", "path", "set as code", "numpy function"],
)
def test_every_class_and_function_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(AnnotationError, match="it asks for"):
        load_plain_pickle(path)


def test_extension_registry_and_persistent_ids_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.pkl"
    for content in (b"\x80\x02\x82\x01.", b"\x80\x02U\x01xQ."):
        path.write_bytes(content)
        with pytest.raises(AnnotationError, match="not a pickle of plain"):
            load_plain_pickle(path)


def test_every_truncation_is_an_annotation_error(tmp_path: Path) -> None:
    whole = pickle.dumps(PLAIN, protocol=2)
    path = tmp_path / "cut.pkl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(AnnotationError, match=r"cut\.pkl: not a pickle of plain"):
            load_plain_pickle(path)


def test_random_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.pkl"
    num_refused = 0
    for _ in range(500):
        path.write_bytes(b"\x80\x02" + rng.bytes(20) + b".")
        try:
            load_plain_pickle(path)
        except AnnotationError:
            num_refused += 1
    assert num_refused > 450


def test_a_huge_memo_is_refused_before_it_is_made(tmp_path: Path) -> None:
    path = tmp_path / "memo.pkl"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")
    with pytest.raises(AnnotationError, match="it asks for 2147483647 memo slots"):
        load_plain_pickle(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"none\.pkl: cannot be read \(No such file"):
        load_plain_pickle(tmp_path / "none.pkl")


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i8", "f2", "<f4", ">f8"])
def test_arrays_and_scalars_of_numbers_become_plain_values(
    tmp_path: Path, protocol: int, dtype: str
) -> None:
    grid = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    content = {"grid": grid, "row": grid[0].copy(), "one": grid[1, 2]}
    path = tmp_path / "numbers.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    loaded = load_plain_pickle(path)
    assert loaded == {name: value.tolist() for name, value in content.items()}
    assert isinstance(loaded, dict)
    assert type(loaded["one"]) is type(grid[1, 2].item())


def test_an_array_that_python_2_wrote(tmp_path: Path) -> None:
    path = tmp_path / "old.pkl"
    # as Python 2.7 pickles numpy.array([200], dtype="u1"): its bytes are a short text
    path.write_bytes(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x01\xc8tb."
    )
    assert load_plain_pickle(path) == [200]


@pytest.mark.parametrize(
    "value",
    [
        np.array([{1: 2}], dtype=object),
        np.array(["text"]),
        np.array([1 + 2j]),
        np.zeros(2, dtype=[("a", "f8")]),
        np.datetime64("2020-01-01"),
    ],
    ids=["objects", "text", "complex", "record", "date"],
)
def test_arrays_of_anything_else_are_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(AnnotationError, match=r"it holds an array of '.*', not of numbers"):
        load_plain_pickle(path)


def test_an_array_of_objects_with_code_in_it_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    path = tmp_path / "code.pkl"
    value = np.array([Runs(os.system, f"touch {trace}")], dtype=object)
    path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(AnnotationError, match="Nothing in it was run"):
        load_plain_pickle(path)
    assert not trace.exists()


def array_bytes(*, shape: bytes, content: bytes) -> bytes:
    """Return the opcodes of an array of bytes whose shape and content are told apart."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
        b"(K\x01" + shape + b"cnumpy\ndtype\n(X\x02\x00\x00\x00u1\x89\x88tR"
        b"(K\x03X\x01\x00\x00\x00|tb\x89" + content + b"tb"
    )


@pytest.mark.parametrize(
    ("shape", "content", "message"),
    [
        (b"J\xff\xff\xff\x7f\x85", b"C\x02ab", r"shape \(2147483647,\) with 2 numbers"),
        (b"J\xff\xff\xff\x7fK\x00\x86", b"C\x00", r"shape \(2147483647, 0\) with 0 numbers"),
        (b"J\xff\xff\xff\xff\x85", b"C\x02ab", "an array without a shape"),
        (b"K\x02\x85", b"K\x07", "not one of numbers"),
    ],
    ids=["large", "empty rows", "negative", "no bytes"],
)
def test_a_shape_that_its_bytes_do_not_fill_is_refused(
    tmp_path: Path, shape: bytes, content: bytes, message: str
) -> None:
    path = tmp_path / "bomb.pkl"
    path.write_bytes(b"\x80\x03" + array_bytes(shape=b"K\x02\x85", content=b"C\x02ab") + b".")
    assert load_plain_pickle(path) == [97, 98]
    path.write_bytes(b"\x80\x03" + array_bytes(shape=shape, content=content) + b".")
    with pytest.raises(AnnotationError, match=message):
        load_plain_pickle(path)


def test_the_same_bytes_cannot_be_used_without_end(tmp_path: Path) -> None:
    path = tmp_path / "repeated.pkl"
    text = b"C\xc8" + bytes(200) + b"q\x00"
    arrays = [
        array_bytes(shape=b"K\xc8\x85", content=text if number == 0 else b"h\x00")
        for number in range(40)
    ]
    path.write_bytes(b"\x80\x03(" + b"".join(arrays) + b"l.")
    with pytest.raises(AnnotationError, match="arrays of more bytes than the file has"):
        load_plain_pickle(path)


@pytest.mark.parametrize(
    "name", ["numpy\ndtype", "numpy\nndarray", "numpy.core.multiarray\n_reconstruct"]
)
def test_a_builder_cannot_be_changed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "changed.pkl"
    path.write_bytes(b"\x80\x02c" + name.encode() + b"\nN}U\x01aK\x01s\x86b.")
    with pytest.raises(AnnotationError, match="it changes a function"):
        load_plain_pickle(path)
