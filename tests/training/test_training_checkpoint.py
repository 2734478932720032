"""Checkpoints: whatever happens, a whole one is left."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest
import torch

from dae_aqa.errors import TrainingError
from dae_aqa.training import checkpoint
from dae_aqa.training.checkpoint import (
    CURRENT,
    PREVIOUS,
    load_checkpoint,
    mark_finished,
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
