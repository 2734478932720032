"""The fingerprint changes with whatever can change a result, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.packed_samples import draw_frames, write_pack

from dae_aqa.packs.digest import frames_digest
from dae_aqa.training.fingerprint import training_fingerprint


@pytest.fixture
def fingerprint(tmp_path: Path) -> Callable[..., str]:
    (tmp_path / "code/models").mkdir(parents=True)
    (tmp_path / "code/loop.py").write_text("a = 1")
    (tmp_path / "code/models/head.py").write_text("b = 2")
    (tmp_path / "splits.csv").write_text("x,train")

    def make(**changes: object) -> str:
        options = {
            "values": {"lr": 1e-3, "train.clips.starts": [4]},
            "data_files": [tmp_path / "splits.csv"],
            "frames": "f0",
            "package_dir": tmp_path / "code",
        }
        chosen = options | changes
        values = chosen.pop("values")
        return training_fingerprint(values, **chosen)

    return make


def test_equal_input_equal_fingerprint(fingerprint):
    assert fingerprint() == fingerprint()
    assert fingerprint() == fingerprint(values={"train.clips.starts": [4], "lr": 1e-3})


def test_parameters_and_frames_count(fingerprint):
    prints = [
        fingerprint(),
        fingerprint(values={"lr": 2e-3, "train.clips.starts": [4]}),
        fingerprint(values={"lr": 1e-3, "train.clips.starts": [5]}),
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
def test_code_counts(fingerprint, tmp_path, change):
    before = fingerprint()
    loop, head = tmp_path / "code/loop.py", tmp_path / "code/models/head.py"
    if change == "edit":
        head.write_text("b = 3")
    elif change == "add":
        (tmp_path / "code/new.py").write_text("")
    elif change == "rename":
        head.rename(head.with_name("heads.py"))
    else:
        texts = loop.read_text(), head.read_text()
        head.write_text(texts[0])
        loop.write_text(texts[1])
    assert fingerprint() != before


def test_files_that_are_no_code_do_not_count(fingerprint, tmp_path):
    before = fingerprint()
    (tmp_path / "code/notes.txt").write_text("x")
    assert fingerprint() == before


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
