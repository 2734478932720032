"""Checkpoints: whatever happens, a whole one is left."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from pathlib import Path

import pytest
import torch
from tests.half_written import half_written

from dae_aqa.errors import TrainingError
from dae_aqa.training import checkpoint
from dae_aqa.training.checkpoint import (
    CURRENT,
    PREVIOUS,
    load_checkpoint,
    mark_finished,
    remove_abandoned,
    remove_finished,
    save_checkpoint,
    sole_use,
)


class KilledError(BaseException):
    """Stands for SIGKILL: no handler of the code under test may run after it."""


def state(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "weights": torch.full((1000,), float(epoch))}


def loaded_epoch(work_dir: Path) -> int:
    content = load_checkpoint(work_dir)
    assert content is not None
    assert torch.equal(content["weights"], torch.full((1000,), float(content["epoch"])))
    return content["epoch"]


def test_nothing_saved_yet(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_two_generations(tmp_path):
    for epoch in range(4):
        save_checkpoint(state(epoch), tmp_path)
        assert loaded_epoch(tmp_path) == epoch
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([CURRENT, PREVIOUS])
    (tmp_path / CURRENT).unlink()
    assert loaded_epoch(tmp_path) == 2


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Die right before the `moment`-th of: sync to disk, rename, rename."""
    calls = iter(range(10))

    def dying(real):
        def call(*arguments):
            if next(calls) == moment:
                raise KilledError
            return real(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", dying(os.fsync))
    monkeypatch.setattr(Path, "replace", dying(Path.replace))


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_kill_between_two_steps_loses_one_epoch_at_most(tmp_path, monkeypatch, moment):
    for epoch in range(3):
        save_checkpoint(state(epoch), tmp_path)
    with monkeypatch.context() as patch:
        kill_at(patch, moment)
        with pytest.raises(KilledError, match=r"^$"):
            save_checkpoint(state(3), tmp_path)
    assert loaded_epoch(tmp_path) == 2
    save_checkpoint(state(3), tmp_path)
    assert loaded_epoch(tmp_path) == 3
    assert not list(tmp_path.glob("*.part"))


def flip_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("position", [0, 31, 32, 2000, -1])
def test_one_damaged_byte(tmp_path, position, caplog):
    for epoch in range(3):
        save_checkpoint(state(epoch), tmp_path)
    flip_byte(tmp_path / CURRENT, position)
    assert loaded_epoch(tmp_path) == 1
    assert f"{CURRENT} is damaged" in caplog.text


@pytest.mark.parametrize("num_bytes", [0, 10, 32, 3000])
def test_truncated(tmp_path, num_bytes):
    for epoch in range(3):
        save_checkpoint(state(epoch), tmp_path)
    path = tmp_path / CURRENT
    path.write_bytes(path.read_bytes()[:num_bytes])
    assert loaded_epoch(tmp_path) == 1


def test_both_damaged(tmp_path):
    for epoch in range(3):
        save_checkpoint(state(epoch), tmp_path)
    for name in (CURRENT, PREVIOUS):
        flip_byte(tmp_path / name, 100)
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_kill_after_damage_still_leaves_a_whole_one(tmp_path, monkeypatch, moment):
    """The damaged one must not take the place of the whole one before it."""
    for epoch in range(3):
        save_checkpoint(state(epoch), tmp_path)
    flip_byte(tmp_path / CURRENT, 100)
    assert loaded_epoch(tmp_path) == 1
    with monkeypatch.context() as patch:
        kill_at(patch, moment)
        with contextlib.suppress(KilledError):
            save_checkpoint(state(2), tmp_path)
    assert loaded_epoch(tmp_path) in (1, 2)


def test_full_disk(tmp_path, monkeypatch):
    for epoch in range(2):
        save_checkpoint(state(epoch), tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fsync", full)
        with pytest.raises(TrainingError, match=r"epoch 2 could not be written \(No space left"):
            save_checkpoint(state(2), tmp_path)
    assert not list(tmp_path.glob("*.part"))
    assert loaded_epoch(tmp_path) == 1
    save_checkpoint(state(2), tmp_path)
    assert loaded_epoch(tmp_path) == 2


def test_checkpoint_cannot_run_code(tmp_path):
    """Even with a fitting checksum, nothing but tensors and plain values is read."""
    save_checkpoint({"epoch": 0, "payload": KilledError}, tmp_path)
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        load_checkpoint(tmp_path)


def test_second_process_of_a_training_names_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_PATIENCE_SECONDS", 0.2)
    work = tmp_path / "trainings" / "key"
    with sole_use(work):
        with (
            pytest.raises(TrainingError, match=rf"runs already \(process {os.getpid()} on .*key"),
            sole_use(work),
        ):
            pytest.fail("two at once")
        with sole_use(work.with_name("another")):
            pass
    with sole_use(work):  # the first is done
        pass


def test_a_checkpoint_that_a_kill_left_half_written_is_removed(tmp_path):
    left = half_written(tmp_path / "a" / CURRENT)
    with sole_use(tmp_path / "a"):
        assert not left.exists()


def test_finished_training_that_is_in_use_is_kept(tmp_path):
    with sole_use(tmp_path / "a"):
        mark_finished(tmp_path / "a", model_sha256="1" * 64)
        remove_finished(tmp_path, model_sha256="1" * 64)
        assert (tmp_path / "a/finished.txt").exists()
    remove_finished(tmp_path, model_sha256="1" * 64)
    assert not list(tmp_path.iterdir())


def test_finished_trainings_are_removed_and_others_kept(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        save_checkpoint(state(0), tmp_path / name)
    mark_finished(tmp_path / "a", model_sha256="1" * 64)
    mark_finished(tmp_path / "b", model_sha256="2" * 64)
    remove_finished(tmp_path, model_sha256="1" * 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


DAY_SECONDS = 86_400


def leave_work(trainings_dir: Path, name: str, *, days: float) -> Path:
    """Make the work folder of a training that was killed so many days ago, and its lock."""
    work_dir = trainings_dir / name
    work_dir.mkdir()
    save_checkpoint(state(0), work_dir)
    (trainings_dir / f"{name}.lock").touch()
    age(trainings_dir, name, days=days)
    return work_dir


def age(trainings_dir: Path, name: str, *, days: float) -> None:
    """Let what a training left be so many days old."""
    then = time.time() - days * DAY_SECONDS
    places = (trainings_dir / name, trainings_dir / f"{name}.lock")
    for path in (*(trainings_dir / name).glob("*"), *places):
        if path.exists():
            os.utime(path, (then, then))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_work_that_is_idle_for_a_month_is_removed_with_its_lock(tmp_path, caplog):
    caplog.set_level("INFO")
    leave_work(tmp_path, "old", days=31)
    leave_work(tmp_path, "fresh", days=29)
    remove_abandoned(tmp_path)
    assert names_in(tmp_path) == ["fresh", "fresh.lock"]
    assert loaded_epoch(tmp_path / "fresh") == 0
    assert re.findall(r"removed .*", caplog.text) == [
        f"removed {tmp_path / 'old'}: no training has written to it for a month"
    ]


def test_work_that_was_written_to_lately_is_kept(tmp_path):
    """A save replaces files, which leaves the times of the other ones as they were."""
    leave_work(tmp_path, "a", days=40)
    leave_work(tmp_path, "b", days=40)
    save_checkpoint(state(1), tmp_path / "a")
    os.utime(tmp_path / "a", (0, 0))
    (tmp_path / "b.lock").touch()  # taken lately, as by a training that has not saved yet
    remove_abandoned(tmp_path)
    assert names_in(tmp_path) == ["a", "a.lock", "b", "b.lock"]


def test_idle_work_in_use_is_kept(tmp_path):
    """As of a training whose epochs take longer than a month."""
    work_dir = tmp_path / "a"
    with sole_use(work_dir):
        save_checkpoint(state(0), work_dir)
        age(tmp_path, "a", days=40)
        remove_abandoned(tmp_path)
        assert loaded_epoch(work_dir) == 0
        age(tmp_path, "a", days=40)
    age(tmp_path, "a", days=40)
    remove_abandoned(tmp_path)
    assert names_in(tmp_path) == []


def test_stray_locks_are_removed(tmp_path):
    """A training that is killed leaves its lock; one that was finished, no folder beside it."""
    for name, days in (("old", 40), ("fresh", 1)):
        (tmp_path / f"{name}.lock").touch()
        age(tmp_path, name, days=days)
    remove_abandoned(tmp_path)
    assert names_in(tmp_path) == ["fresh.lock"]


def test_without_any_training_nothing_is_removed(tmp_path):
    remove_abandoned(tmp_path / "trainings")
    assert not (tmp_path / "trainings").exists()


def test_a_file_that_vanishes_meanwhile_does_not_matter(tmp_path, monkeypatch):
    """Another training renames its checkpoints while this one looks at them."""
    leave_work(tmp_path, "a", days=40)
    stat = Path.stat

    def vanished(self, **options):
        if self.name == CURRENT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return stat(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", vanished)
        remove_abandoned(tmp_path)
    assert names_in(tmp_path) == []
