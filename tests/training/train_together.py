"""What each process of tests/training/test_processes.py runs; process 0 writes what it found.

    python -m torch.distributed.run --standalone --nproc-per-node 2 train_together.py FOLDER

FOLDER holds the tables, the frames and `options.json`; `fault.txt` may name a rank that is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tiny_training import TinyData

from dae_aqa.inference.processes import joined
from dae_aqa.options import parse_options
from dae_aqa.training.loss_watch import LossWatch
from dae_aqa.training.options import TrainingOptions


def main(folder: Path) -> None:
    content = json.loads((folder / "options.json").read_text())
    options = parse_options(TrainingOptions, content, source="options.json")
    data = TinyData(
        pd.read_csv(folder / "annotations.csv", keep_default_na=False),
        pd.read_csv(folder / "splits.csv"),
        folder / "frames",
    )
    counted: list[int] = []
    add = LossWatch.add

    def counting_add(self, loss, indices, *, num_counted):
        counted.extend(indices.tolist()[:num_counted])
        add(self, loss, indices, num_counted=num_counted)

    LossWatch.add = counting_add
    fault = folder / "fault.txt"
    with joined(torch.device("cpu")) as processes:
        if fault.exists() and int(fault.read_text()) == processes.rank:
            torch.optim.Optimizer.zero_grad = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        trained, result = data.train(options, folder, processes=processes)
        shares = processes.gather(counted)
        states = processes.gather(trained.model.state_dict())
        if processes.is_first:
            found = {"state": trained.model.state_dict(), "shares": shares, "states": states}
            torch.save(found, folder / "found.pt")
            result.history.to_csv(folder / "history.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
