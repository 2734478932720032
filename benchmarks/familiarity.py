"""Which clips are unlike training: two measures, on simulated test dives and on real clips.

    dvc repro                                          # the model, once
    python benchmarks/familiarity.py [--clips ../shared/videos]

Each measure gives a clip a distance, and a threshold follows from the training samples alone: the
nearest neighbour by leaving each one out, the Gaussian (Mahalanobis, Ledoit-Wolf shrinkage) by ten
folds. A good measure flags few of the test dives, which come from other venues than the training
dives, and every clip that shows something else. Writes benchmarks/results/familiarity.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from _common import REPO_ROOT, markdown_table, write_result
from dae_aqa.errors import DaeAqaError
from dae_aqa.inference.familiarity import training_features
from dae_aqa.inference.samples import select_samples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.scorer import Clip, Scorer
from dae_aqa.splits.make import read_splits
from dae_aqa.tables.annotations import read_annotations

FACTORS = (1.0, 1.1, 1.25, 1.5, 2.0)
Array = NDArray[np.float64]


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=REPO_ROOT / "models/model.pt")
    parser.add_argument("--clips", type=Path, default=REPO_ROOT.parent / "shared/videos")
    args = parser.parse_args()
    trained = TrainedModel.load(args.model)
    train, test = (looks_of(trained, split) for split in ("train", "test"))
    other, names = looks_of_clips(args.model, args.clips)
    rows = []
    for name, measure, usual in (
        ("nearest training sample", nearest, nearest_of_others(train)),
        ("Gaussian, shrunk", mahalanobis, mahalanobis_of_others(train)),
    ):
        far, clips = measure(test, train), measure(other, train)
        for factor in FACTORS:
            threshold = factor * float(np.quantile(usual, 0.99))
            rows.append(
                {
                    "measure": name,
                    "factor": factor,
                    "test_dives_flagged": float((far > threshold).mean()),
                    "other_clips_flagged": float((clips > threshold).mean()),
                    "least_other_over_threshold": float(clips.min() / threshold),
                }
            )
    write_result("familiarity", {"clips": names, "rows": rows})
    print(markdown_table(list(rows[0]), [list(row.values()) for row in rows]))


def looks_of(trained: TrainedModel, split: str) -> Array:
    """Return what the samples of a split look like, (N, D)."""
    samples = select_samples(
        read_annotations(REPO_ROOT / "data/annotations.csv"),
        read_splits(REPO_ROOT / "data/splits.csv"),
        split=(split,),
        scoring_rule=None,
        with_judges=False,
    )
    feed = trained.feed(
        samples.sample_ids, frames_dir=REPO_ROOT / "data/frames", num_workers=2, cache=False
    )
    found = training_features(
        trained.model, feed, num_samples=len(samples), batch_size=16, precision="fp32"
    )
    assert found is not None
    return found.values.double().numpy()


def looks_of_clips(model: Path, folder: Path) -> tuple[Array, list[str]]:
    """Return what the readable clips in `folder` look like, (M, D), and their names."""
    scorer = Scorer.load(model)
    looks, names = [], []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            window = scorer.read(Clip(video=path))
        except DaeAqaError as error:
            print(f"left out: {error}")
            continue
        looks.append(scorer._models[0]._features([window])[0].mean(dim=0))
        names.append(path.name)
    return torch.stack(looks).double().numpy(), names


def nearest(clips: Array, train: Array) -> Array:
    """Return the distance of each clip to the nearest training sample."""
    return np.sqrt(((clips[:, None] - train[None]) ** 2).sum(axis=2)).min(axis=1)


def nearest_of_others(train: Array) -> Array:
    """Return the distance of each training sample to the nearest other one."""
    distance = np.sqrt(((train[:, None] - train[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


def mahalanobis(clips: Array, train: Array) -> Array:
    """Return the Mahalanobis distance of each clip from the training samples.

    Source: Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance
    matrices", equations 8 to 14.
    """
    centred = train - train.mean(axis=0)
    num, dim = centred.shape
    covariance = centred.T @ centred / num
    mean_variance = np.trace(covariance) / dim
    apart = ((covariance - mean_variance * np.eye(dim)) ** 2).sum() / dim
    noise = ((centred**2).sum(axis=1) ** 2).mean() - (covariance**2).sum()
    shrinkage = min(1.0, noise / dim / num / apart)
    shrunk = (1 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(dim)
    off = clips - train.mean(axis=0)
    return np.sqrt((off * np.linalg.solve(shrunk, off.T).T).sum(axis=1))


def mahalanobis_of_others(train: Array) -> Array:
    """Return the distance of each training sample from those of the other nine folds."""
    fold = np.random.default_rng(0).permutation(len(train)) % 10
    return np.concatenate([mahalanobis(train[fold == k], train[fold != k]) for k in range(10)])


if __name__ == "__main__":
    main()
