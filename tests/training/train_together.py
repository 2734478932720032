"""What each process of tests/training/test_processes.py runs; process 0 writes what it found.

    python -m torch.distributed.run --standalone --nproc-per-node 2 train_together.py FOLDER

FOLDER holds the tables, the frames and `params.json`; `fault.txt` may name a rank that is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pandas as pd
import torch

from dae_aqa.inference.processes import joined
from dae_aqa.options import parse_options
from dae_aqa.params import Params
from dae_aqa.training import loop
from dae_aqa.training.session import train_model


def main(folder: Path) -> None:
    params = parse_options(
        Params, json.loads((folder / "params.json").read_text()), source="params"
    )
    counted: list[int] = []
    add = loop._LossWatch.add

    def counting_add(self, loss, indices, *, num_counted):
        counted.extend(indices.tolist()[:num_counted])
        add(self, loss, indices, num_counted=num_counted)

    loop._LossWatch.add = counting_add
    fault = folder / "fault.txt"
    with joined(torch.device("cpu")) as processes:
        if fault.exists() and int(fault.read_text()) == processes.rank:
            loop._Steps._update = lambda self: os.kill(os.getpid(), signal.SIGKILL)
        trained, result = train_model(
            params,
            annotations=pd.read_csv(folder / "annotations.csv", keep_default_na=False),
            splits=pd.read_csv(folder / "splits.csv"),
            frames_dir=folder / "frames",
            features_dir=folder / "features",
            work_dir=folder / "work",
            on_epoch=lambda epoch, figures: None,
            processes=processes,
        )
        shares = processes.gather(counted)
        states = processes.gather(trained.model.state_dict())
        if processes.is_first:
            found = {"state": trained.model.state_dict(), "shares": shares, "states": states}
            torch.save(found, folder / "found.pt")
            result.history.to_csv(folder / "history.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
