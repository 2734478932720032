"""The fingerprint changes with whatever can change a result, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.packed_samples import draw_frames, write_pack
from tests.test_architecture import ROOMS

from dae_aqa.options import flatten
from dae_aqa.packs.digest import frames_digest
from dae_aqa.training.fingerprint import training_fingerprint

VALUES = {"lr": 1e-3, "train.clips.starts": [4]}
ROOMS_OF_A_TRAINING = (
    *("clips", "files", "inference", "metrics", "models", "packs", "scoring", "splits", "tables"),
    *("training", "video"),
)
REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with the rooms and files of this one, and a line in each file."""
    folder = tmp_path / "code"
    for path in (REPO / "src/dae_aqa").rglob("*.py"):
        copy = folder / path.relative_to(REPO / "src/dae_aqa")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(f"name = {path.stem!r}")
    return folder


@pytest.fixture
def fingerprint(tmp_path: Path, package: Path) -> Callable[..., str]:
    (tmp_path / "splits.csv").write_text("x,train")

    def make(**changes: object) -> str:
        options = {
            "values": VALUES,
            "data_files": [tmp_path / "splits.csv"],
            "frames": "f0",
            "package_dir": package,
        }
        chosen = options | changes
        values = chosen.pop("values")
        return training_fingerprint(values, **chosen)

    return make


def test_equal_input_equal_fingerprint(fingerprint):
    assert fingerprint() == fingerprint()
    assert fingerprint() == fingerprint(values=dict(reversed(VALUES.items())))


def test_parameters_and_frames_count(fingerprint):
    prints = [
        fingerprint(),
        fingerprint(values=VALUES | {"lr": 2e-3}),
        fingerprint(values=VALUES | {"train.clips.starts": [5]}),
        fingerprint(frames="f1"),
    ]
    assert len(set(prints)) == 4


def test_contents_of_tables_count_and_names_do_not(fingerprint, tmp_path):
    before = fingerprint()
    moved = (tmp_path / "splits.csv").rename(tmp_path / "moved.csv")
    assert fingerprint(data_files=[moved]) == before
    moved.write_text("x,val")
    assert fingerprint(data_files=[moved]) != before


@pytest.mark.parametrize("change", ["edit", "add", "rename", "swap"])
def test_code_counts(fingerprint, package, change):
    before = fingerprint()
    loop, head = package / "training/loop.py", package / "models/heads/base.py"
    if change == "edit":
        head.write_text("b = 3")
    elif change == "add":
        (package / "training/new.py").write_text("")
    elif change == "rename":
        head.rename(head.with_name("another.py"))
    else:
        texts = loop.read_text(), head.read_text()
        head.write_text(texts[0])
        loop.write_text(texts[1])
    assert fingerprint() != before


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_that_a_training_runs_through_count(fingerprint, package, room):
    """A half-finished training goes on after an edit of its tracking, its log or the report."""
    before = fingerprint()
    place = package / room
    for path in [*place.rglob("*.py"), *package.glob(f"{room}.py")]:
        path.write_text("edited = True")
    if place.is_dir():
        (place / "new.py").write_text("")
    assert (fingerprint() != before) == (room in ROOMS_OF_A_TRAINING)


def test_files_that_are_no_code_do_not_count(fingerprint, package):
    before = fingerprint()
    (package / "training/notes.txt").write_text("x")
    assert fingerprint() == before


def test_options_count_unless_they_can_change_no_bit(fingerprint, small_options):
    """All others count: a number of threads or processes gives sums another order.

    Parts at once share out the threads that `num_threads: 0` means, which differ from machine to
    machine anyway; with a number of threads they change no bit.
    """
    values = flatten(small_options()) | {"scoring_rule": "diving"}
    before = fingerprint(values=values)
    idle = {key for key in values if fingerprint(values=values | {key: "another"}) == before}
    assert idle == {
        *("num_workers", "train.clips.cache", "train.parts_at_once"),
        *("train.experiment", "train.tracking"),
    }


def test_frames_digest_sees_one_pixel(tmp_path):
    frames = {name: draw_frames(name, num_frames=2) for name in ("a", "b")}
    for name, content in frames.items():
        write_pack(tmp_path, name, content)
    before = frames_digest(tmp_path, ["a", "b"])
    assert frames_digest(tmp_path, ["a", "b"]) == before
    assert frames_digest(tmp_path, ["a"]) != before
    frames["b"][3, 7, 7, 1] ^= 1
    write_pack(tmp_path, "b", frames["b"])
    assert frames_digest(tmp_path, ["a", "b"]) != before
