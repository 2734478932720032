"""Two processes on the CPU train as one does: same steps, same samples, same weights."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from tests.tiny_training import MakeOptions, TinyData

from dae_aqa.errors import TrainingError
from dae_aqa.inference.device import resolve_device
from dae_aqa.inference.processes import ALONE, Processes, joined, start_processes
from dae_aqa.training.checkpoint import load_checkpoint
from dae_aqa.training.options import TrainingOptions

SCRIPT = Path(__file__).with_name("train_together.py")
# nothing that depends on how a batch is shared: batch statistics, or dropout's generator
SHARED = {"train.bn": "frozen", "train.dropout": 0.0, "train_batch_size": 3, "num_epochs": 4}


@dataclasses.dataclass(frozen=True)
class Found:
    """What a training left."""

    states: list[dict[str, torch.Tensor]]
    shares: list[list[int]]
    history: pd.DataFrame
    num_steps: int


def prepare(folder: Path, data: TinyData, options: TrainingOptions) -> None:
    for name in ("work", "features"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(data.frames_dir, folder / "frames")
    data.annotations.to_csv(folder / "annotations.csv", index=False)
    data.splits.to_csv(folder / "splits.csv", index=False)
    (folder / "options.json").write_text(options.model_dump_json())


def launch(folder: Path, *, num_processes: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(num_processes), str(SCRIPT), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def train_together(folder: Path, *, num_processes: int) -> Found:
    done = launch(folder, num_processes=num_processes)
    assert done.returncode == 0, done.stderr[-3000:]
    found = torch.load(folder / "found.pt")
    checkpoint = load_checkpoint(folder / "work")
    assert checkpoint is not None
    steps = {int(state["step"]) for state in checkpoint["optimizer"]["state"].values()}
    return Found(found["states"], found["shares"], pd.read_csv(folder / "history.csv"), max(steps))


def assert_alike(one: Found, two: Found) -> None:
    """Both processes hold the same weights: those of one process, but for the order of sums."""
    for key, value in one.states[0].items():
        torch.testing.assert_close(two.states[0][key], value, rtol=1e-3, atol=1e-4)
        assert torch.equal(two.states[1][key], two.states[0][key]), key
    pd.testing.assert_frame_equal(two.history, one.history, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    """Four samples in batches of three and one: of the last, one process has none of its own."""
    found = {}
    for count in (1, 2):
        prepare(tmp_path / str(count), tiny_data, small_options(SHARED))
        found[count] = train_together(tmp_path / str(count), num_processes=count)
    one, two = found[1], found[2]
    assert one.num_steps == two.num_steps == 8
    seen = [
        collections.Counter(itertools.chain(*one.shares)),
        collections.Counter(itertools.chain(*two.shares)),
    ]
    assert seen[0] == seen[1] == dict.fromkeys(range(4), 4)
    assert all(two.shares)
    assert_alike(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["core", "dae_core"])
def test_two_processes_compare_with_exemplars_as_one_does(
    model: str, small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    """A sample and its exemplar go through the network at once, in one process and in two."""
    found = {}
    for count in (1, 2):
        drawn = {"model": model, "train.exemplars.pairs": "released", "train.exemplars.by": "any"}
        pieces = {"train_batch_size": 2, "train.accumulate_steps": 3 - count}
        prepare(tmp_path / str(count), tiny_data, small_options(SHARED | drawn | pieces))
        found[count] = train_together(tmp_path / str(count), num_processes=count)
    one, two = found[1], found[2]
    assert one.num_steps == two.num_steps == 8
    assert_alike(one, two)
    assert bool(one.states[0]["head.features"].any())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["core", "dae_core"])
def test_two_processes_that_pair_their_own_shares_train_one_model(
    model: str, small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    options = small_options(SHARED | {"model": model, "train_batch_size": 4})
    prepare(tmp_path / "two", tiny_data, options)
    two = train_together(tmp_path / "two", num_processes=2)
    assert two.num_steps == 4
    assert collections.Counter(itertools.chain(*two.shares)) == dict.fromkeys(range(4), 4)
    for key, value in two.states[0].items():
        assert torch.equal(two.states[1][key], value), key
    assert two.history["train_loss"].notna().all()


@pytest.mark.slow
def test_a_killed_process_ends_the_others(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    prepare(tmp_path / "two", tiny_data, small_options(SHARED))
    (tmp_path / "two/fault.txt").write_text("1")
    started = time.monotonic()
    done = launch(tmp_path / "two", num_processes=2)
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr
    assert time.monotonic() - started < 60
    assert not (tmp_path / "two/found.pt").exists()


def test_shares_cover_a_batch_once() -> None:
    batch = [7, 3, 9, 1, 4]
    shares = [Processes(rank, 3).share(batch) for rank in range(3)]
    assert sorted(itertools.chain(*(own for own, _ in shares))) == sorted(batch)
    assert [count for _, count in shares] == [2, 2, 1]
    assert [Processes(rank, 3).share([5]) for rank in range(3)] == [([5], 1), ([5], 0), ([5], 0)]
    assert ALONE.share(batch) == (batch, 5)


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with joined(torch.device("cpu")) as processes:
        assert processes == ALONE
        assert processes.gather("x") == ["x"]
        assert processes.agree("x") == "x"
    start_processes(1)  # returns


def test_processes_that_cannot_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(TrainingError, match=r"could not meet .*Start them with torchrun"),
        joined(torch.device("cpu")),
    ):
        pass


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(TrainingError, match=r"process 3 .*no GPU of its own: there are 2\. Lower"):
        resolve_device("cuda")
