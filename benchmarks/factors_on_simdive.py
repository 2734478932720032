"""What the shipped model owes to what on simdive: one factor changed at a time, seed by seed.

    dvc repro make_splits                         # the data, once
    python benchmarks/factors_on_simdive.py [--only shipped …] [--seeds 0 1 2] [--threads 1]
    python benchmarks/factors_on_simdive.py --table

Trains with the parameters of params.yaml, changed as `FACTORS` says, as `dvc exp run -S …` would; a
seed also draws another validation split. The test samples are predicted once. Each training's
figures go into benchmarks/results/factors_on_simdive.json as soon as they are known, and those that
are there are not trained again. `--table` prints the table of docs/models.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from _common import REPO_ROOT, RESULTS_DIR
from models_on_simdive import (
    AT_FIRST,
    add_row,
    keep_decoded_frames,
    missing,
    parameters,
    read_rows,
    table_of,
    train_and_test,
)

RESULT = RESULTS_DIR / "factors_on_simdive.json"
FACTORS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "as shipped at first": AT_FIRST,
    "mean over time": {"train.neck": "mean"},
    "every other frame, from frame 4": {
        key: AT_FIRST[key]
        for key in ("train.clips.starts", "train.clips.num_frames", "train.clips.stride")
    },
    "25 epochs": {"num_epochs": 25},
    "100 epochs": {"num_epochs": 100},
    "whole frame, 64 px": {"train.clips.crop_px": 256, "train.clips.size_px": 64},
    "64 px": {"train.clips.size_px": 64},
    "weights not averaged": {"train.average_weights": 0.0},
    "not mirrored": {"train.average_mirrored": False},
    "half of the training dives": {"make_splits.val_fraction": 0.6},
    "batches of 8": {"train_batch_size": 8},
    "crps": {"train.loss.name": "crps"},
    "dropout 0.3": {"train.dropout": 0.3},
    "weight decay 0.1": {"weight_decay": 0.1},
    "no colour jitter": {"train.clips.color_jitter": 0.0},
    "no shift in time": {"temporal_aug": 0},
}
COLUMNS = {
    "rho, execution": "spearman_execution",
    "rho": "spearman",
    "MAE": "mae",
    "90 % holds": "coverage_90",
    "NLL": "nll",
    "seconds": "seconds",
}


def main() -> None:
    """Train what is asked for and not known yet; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(FACTORS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 0: all")
    parser.add_argument("--frames", type=Path, default=REPO_ROOT / "data/frames")
    parser.add_argument("--table", action="store_true", help="train nothing")
    args = parser.parse_args()
    keep_decoded_frames()
    names = list(FACTORS)
    for name, seed in [] if args.table else missing(RESULT, names=args.only, seeds=args.seeds):
        params = parameters(FACTORS[name], seed=seed, num_threads=args.threads)
        started = time.perf_counter()
        figures = train_and_test(params, frames_dir=args.frames)
        seconds = time.perf_counter() - started
        row = {"name": name, "seed": seed, "changes": FACTORS[name], **figures, "seconds": seconds}
        add_row(RESULT, row, names=names)
    print(table_of(read_rows(RESULT), names=names, columns=COLUMNS, heading="changed"))


if __name__ == "__main__":
    main()
