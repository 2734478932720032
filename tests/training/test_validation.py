"""The figures of the validation samples, by hand, and the epoch that they choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from tests.tiny_training import MakeOptions
from tests.training.seen import watching

from dae_aqa.inference.feeds import FeatureFeed
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.build import build_model
from dae_aqa.models.targets import make_targets
from dae_aqa.training.fit_inputs import FedSamples, FitOptions
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.loop import FitResult, fit

NUM_TRAIN, NUM_VAL = 24, 30
CHANGES = {
    "num_epochs": 12,
    "lr": 0.02,
    "train_batch_size": 4,
    "train.loss.mse_warmup_fraction": 0.0,
    "train.calibrate_sigma": False,
}


def scored(rng: np.random.Generator, prefix: str, count: int) -> tuple[ScoredSamples, torch.Tensor]:
    """Return samples whose execution score can be read off their features, and these."""
    quality = rng.normal(size=count)
    difficulty = rng.uniform(1.0, 4.0, count)
    ids = [f"{prefix}{row}" for row in range(count)]
    targets = make_targets(
        final_score=(difficulty * (20 + 4 * quality + rng.normal(0, 1.5, count))).tolist(),
        difficulty=difficulty.tolist(),
        judge_scores=None,
        scoring_rule=None,
        sample_ids=ids,
    )
    features = rng.normal(0, 0.3, (count, 1, 256))
    features[:, 0, :4] += quality[:, None]
    return ScoredSamples(ids, targets), torch.from_numpy(features).float()


def samples() -> dict[str, tuple[ScoredSamples, torch.Tensor]]:
    rng = np.random.default_rng(14)
    return {"train": scored(rng, "t", NUM_TRAIN), "val": scored(rng, "v", NUM_VAL)}


def fit_head(make_options: MakeOptions, work_dir: Path, **changes: object) -> FitResult:
    torch.manual_seed(0)
    (train, inputs), (val, val_inputs) = samples().values()
    options = make_options(CHANGES | changes)
    model = build_model(
        model=options.model,
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )
    model.head.fit_to(train.targets, standardize=True)
    work_dir.mkdir(exist_ok=True)
    return fit(
        model,
        options=FitOptions.of(options),
        choice=EpochChoice.of(options, num_val=NUM_VAL),
        train=FedSamples(train, FeatureFeed(inputs, device=torch.device("cpu"))),
        val=FedSamples(val, FeatureFeed(val_inputs, device=torch.device("cpu"))),
        work_dir=work_dir,
        on_epoch=lambda epoch, figures: None,
    )


@pytest.mark.parametrize("model", ["dae", "dae_mt", "mlp"])
def test_figures_are_those_of_the_final_score(
    small_options: MakeOptions, tmp_path: Path, model: str
):
    """From the head's raw outputs, by hand and with SciPy."""
    with watching() as seen:
        result = fit_head(small_options, tmp_path, model=model, num_epochs=2, test_batch_size=16)
    train, val = (content.targets for content, _ in samples().values())
    learned = (train.execution_score if model == "dae_mt" else train.final_score).numpy()
    mean, std = learned.mean(), learned.std(ddof=1)
    final, difficulty = val.final_score.numpy(), val.difficulty.numpy()
    unit = difficulty if model == "dae_mt" else 1.0
    assert [len(mu) for mu, _ in seen.val.outputs] == [1] * NUM_VAL * 2  # a head sees one at a time
    for epoch in range(2):
        parts = seen.val.outputs[NUM_VAL * epoch : NUM_VAL * (epoch + 1)]
        mu = unit * (mean + std * np.concatenate([mu[:, 0] for mu, _ in parts]))
        variances = [log_variance for _, log_variance in parts if log_variance is not None]
        assert len(variances) == (0 if model == "mlp" else NUM_VAL)
        relative = np.exp(np.concatenate(variances)[:, 0] / 2) if variances else np.ones(NUM_VAL)
        expected = {
            "val_mae": np.abs(mu - final).mean(),
            "val_nll": -stats.norm.logpdf(final, mu, unit * std * relative).mean(),
            "val_spearman": stats.spearmanr(mu, final).statistic,
            "val_spearman_execution": stats.spearmanr(
                mu / difficulty, final / difficulty
            ).statistic,
        }
        for name, value in expected.items():
            assert result.history[name][epoch] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("select_by", ["spearman", "loss"])
def test_the_epoch_is_the_best_one_on_validation(
    small_options: MakeOptions, tmp_path: Path, select_by: str
):
    """By rho of the final score or by likelihood; here all candidates are different epochs."""
    result = fit_head(small_options, tmp_path, **{"train.select_by": select_by})
    history = result.history
    candidates = {
        "spearman": int(history["val_spearman"].argmax()),
        "loss": int(history["val_nll"].argmin()),
        "execution": int(history["val_spearman_execution"].argmax()),
        "error": int(history["val_mae"].argmin()),
        "last": len(history) - 1,
    }
    assert len(set(candidates.values())) == 5
    assert result.best_epoch == candidates[select_by]
    options = small_options(CHANGES | {"train.select_by": select_by})
    choice = EpochChoice.of(options, num_val=NUM_VAL)
    assert choice.best_epoch(history) == candidates[select_by]


def test_the_weights_are_those_of_the_chosen_epoch(small_options: MakeOptions, tmp_path: Path):
    """A training that ends with that epoch has the same ones; the rate must be constant for it."""
    constant = {"train.schedule": "constant", "train.select_by": "loss"}
    long = fit_head(small_options, tmp_path / "long", **constant)
    assert 0 < long.best_epoch < len(long.history) - 1
    num_epochs = {"num_epochs": long.best_epoch + 1}
    short = fit_head(small_options, tmp_path / "short", **constant | num_epochs)
    for key, value in short.model.state_dict().items():
        assert torch.equal(long.model.state_dict()[key], value), key
