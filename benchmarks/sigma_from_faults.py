"""Does a head find the judges' noise where nothing else hides it? The law with a mid-score peak.

    python benchmarks/sigma_from_faults.py [--seeds 0 1 2]

simdive's ten true faults stand for the features of a perfect, fixed backbone: what is left of the
score is the judges' noise, whose true sigma is known. With `mid_peak` it is largest at middling
scores, so a head that merely learned "low score, high sigma" fails. The head of `dae_mt` with each
loss, and that of `dae_judges`, are trained by the pipeline's own loop on as many dives as the
shipped dataset trains on, on as many as MTL-AQA has, and on many. Of `dae_judges`, the judges' part
of sigma is compared too.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
import yaml

from _common import REPO_ROOT, markdown_table, write_result
from dae_aqa.datasets.simdive.dives import FAULT_PREFIX
from dae_aqa.datasets.simdive.generation import tables
from dae_aqa.datasets.simdive.judging import NUM_JUDGES
from dae_aqa.datasets.simdive.options import SimDiveOptions
from dae_aqa.inference.device import set_determinism
from dae_aqa.inference.feeds import FeatureFeed
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import select_samples
from dae_aqa.metrics.accuracy import spearman
from dae_aqa.metrics.calibration import coverage
from dae_aqa.models.build import build_model
from dae_aqa.models.options import METHODS, LossName
from dae_aqa.options import parse_options
from dae_aqa.params import Params
from dae_aqa.training.fit_inputs import FedSamples, FitOptions
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.loop import fit

NUM_TRAIN = (430, 1059, 4000)
NUM_VAL, NUM_TEST, NUM_EPOCHS = 110, 1000, 60
CPU = torch.device("cpu")
# model, loss
HEADS = {
    **{f"dae_mt {loss}": ("dae_mt", loss) for loss in get_args(LossName)},
    "dae_judges nll": ("dae_judges", "nll"),
}


def many_dives(count: int, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return annotations and truth of `count` dives under the law with the peak."""
    section = yaml.load((REPO_ROOT / "params.yaml").read_text(), Loader=yaml.SafeLoader)
    section = section["datasets"]["simdive"] | {"noise_law": "mid_peak", "num_dives": count}
    return tables(options=SimDiveOptions(**section | {"seed": 1000 + seed}))


def parameters(loss: str, *, seed: int) -> Params:
    """Return params.yaml for a head alone, with `loss`; `mse` as released."""
    content = yaml.load((REPO_ROOT / "params.yaml").read_text(), Loader=yaml.SafeLoader)
    content |= {"seed": seed, "num_epochs": NUM_EPOCHS, "lr": 1e-3, "weight_decay": 1e-2}
    content["train"] |= {"finetune": "head"}
    content["train"]["loss"] |= {"name": loss}
    if loss == "mse":
        content["train"]["loss"] |= {"mse_warmup_fraction": 0.0}
        content["train"] |= {"calibrate_sigma": False}
    return parse_options(Params, content, source="params.yaml")


def train_and_test(name: str, *, num_train: int, seed: int) -> dict[str, Any]:
    """Return the test figures of one head."""
    model_name, loss = HEADS[name]
    params = parameters(loss, seed=seed)
    judged = METHODS[model_name].needs_judges
    annotations, truth = many_dives(num_train + NUM_VAL + NUM_TEST, seed=seed)
    faults = truth.filter(like=FAULT_PREFIX).to_numpy()
    torch.manual_seed(seed)
    model = build_model(
        model=model_name,
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule="diving" if judged else None,
        num_judges=NUM_JUDGES if judged else None,
        dropout=params.train.dropout,
    )
    model.set_finetune("head")
    features = torch.zeros(len(faults), 1, model.backbone.feature_dim)
    features[:, 0, : faults.shape[1]] = torch.from_numpy((faults - 0.5) / faults.std(axis=0))
    rows = {
        "train": slice(0, num_train),
        "val": slice(num_train, num_train + NUM_VAL),
        "test": slice(num_train + NUM_VAL, None),
    }
    inputs = {}
    for split, part in rows.items():
        samples = select_samples(
            annotations[part],
            pd.DataFrame({"sample_id": annotations[part]["sample_id"], "split": split}),
            split=split,
            scoring_rule="diving",
            with_judges=judged,
        )
        inputs[split] = FedSamples(samples, FeatureFeed(features[part], device=CPU))
    model.head.fit_to(inputs["train"].samples.targets, standardize=True)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            options=FitOptions.of(params),
            choice=EpochChoice.of(params, num_val=NUM_VAL),
            train=inputs["train"],
            val=inputs["val"],
            work_dir=Path(folder),
            on_epoch=lambda epoch, figures: None,
        )
    prediction = predict(
        model,
        inputs["test"].feed,
        performances=inputs["test"].samples.performances,
        batch_size=100,
        precision="fp32",
        show_progress=False,
    )
    mu, sigma = prediction.mu_execution.numpy(), prediction.sigma_execution.numpy()
    score = inputs["test"].samples.targets.execution_score.numpy()
    true_sigma = truth[rows["test"]]["true_sigma_execution"].to_numpy()
    judges = prediction.sigma_judges_execution
    return {
        "head": name,
        "num_train": num_train,
        "seed": seed,
        "spearman_execution": spearman(predicted=mu, target=score),
        "coverage_90": coverage(mu=mu, sigma=sigma, target=score, level=0.9),
        "sigma_rank_correlation_execution": spearman(predicted=sigma, target=true_sigma),
        "sigma_judges_rank_correlation_execution": (
            None if judges is None else spearman(predicted=judges.numpy(), target=true_sigma)
        ),
        "median_sigma_ratio": float(np.median(sigma / true_sigma)),
    }


def main() -> None:
    """Train, write and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    set_determinism(True)
    rows = [
        train_and_test(name, num_train=num_train, seed=seed)
        for num_train in NUM_TRAIN
        for name in HEADS
        for seed in args.seeds
    ]
    path = write_result("sigma_from_faults", {"num_test": NUM_TEST, "rows": rows})
    frame = pd.DataFrame(rows)
    mean = frame.groupby(["num_train", "head"], sort=False).mean().drop(columns="seed")
    table = [(*key, *row) for key, row in zip(mean.index, mean.to_numpy().tolist(), strict=True)]
    print(markdown_table(("num_train", "head", *mean.columns), table))
    print(path)


if __name__ == "__main__":
    main()
