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
        np.arange(3),
        np.float64(1.0),
        Path("x"),
        {1, 2},
    ],
    ids=["eval", "getattr", "subprocess", "array", "scalar", "path", "set as code"],
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
