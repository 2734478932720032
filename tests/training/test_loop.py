"""The loop by itself, fed with ready features: steps, stops, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scipy import stats

from dae_aqa.errors import ModelError, TrainingError
from dae_aqa.inference.feeds import FeatureFeed
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.build import build_model
from dae_aqa.models.targets import make_targets
from dae_aqa.training import loop, validation
from dae_aqa.training.checkpoint import load_checkpoint
from dae_aqa.training.fit_inputs import FedSamples, FitOptions
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.loop import FitResult, fit

CPU = torch.device("cpu")
FitHead = Callable[..., FitResult]
NUM_VAL = 12  # enough to choose by rho
NO_WARMUP = {"train.loss.mse_warmup_fraction": 0.0}


def scored(prefix: str, num_samples: int) -> ScoredSamples:
    ids = [f"{prefix}{row}" for row in range(num_samples)]
    targets = make_targets(
        final_score=[60.0 + 7 * row for row in range(num_samples)],
        difficulty=[2.0] * num_samples,
        judge_scores=None,
        scoring_rule=None,
        sample_ids=ids,
    )
    return ScoredSamples(ids, targets)


def fresh_model():
    torch.manual_seed(0)
    return build_model(
        model="dae_mt",
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )


def features(num_samples: int) -> torch.Tensor:
    return torch.randn(num_samples, 2, 256, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def fit_head(small_options, tmp_path: Path) -> FitHead:
    def run(
        changes: dict[str, object],
        *,
        train: torch.Tensor | None = None,
        num_train: int = 6,
        num_val: int = NUM_VAL,
        name: str = "work",
    ) -> FitResult:
        work_dir = tmp_path / name
        work_dir.mkdir(exist_ok=True)
        samples, val = scored("t", num_train), scored("v", num_val)
        model = fresh_model()
        model.head.fit_to(samples.targets, standardize=True)
        options = small_options(changes)
        inputs = features(num_train) if train is None else train
        return fit(
            model,
            options=FitOptions.of(options),
            choice=EpochChoice.of(options, num_val=num_val),
            train=FedSamples(samples, FeatureFeed(inputs, device=CPU)),
            val=FedSamples(val, FeatureFeed(features(num_val) * 0.5, device=CPU)),
            work_dir=work_dir,
            on_epoch=lambda epoch, figures: None,
        )

    return run


@pytest.mark.parametrize("num_train", [4, 5])
def test_accumulated_pieces_give_the_gradient_of_the_batch(fit_head, num_train):
    """Five samples in two pieces of three and two: each sample still weighs the same."""
    changes = {"num_epochs": 1, "train_batch_size": 5, "train.clip_grad_norm": None}
    changes["train.loss.mse_warmup_fraction"] = 0.0  # so that sigma has a gradient too
    gradients = []
    for steps in (1, 2):
        result = fit_head(
            changes | {"train.accumulate_steps": steps}, num_train=num_train, name=f"work{steps}"
        )
        gradients.append([p.grad for p in result.model.head.parameters()])
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


def test_gradient_norm_is_clipped(fit_head):
    changes = {"num_epochs": 1, "train_batch_size": 6, "train.clip_grad_norm": 0.01}
    changes["train.loss.mse_warmup_fraction"] = 0.0
    model = fit_head(changes).model
    squares = [p.grad.square().sum() for p in model.head.parameters()]
    assert math.sqrt(sum(squares)) == pytest.approx(0.01, rel=1e-3)


def test_loss_that_is_no_number_names_the_samples_and_keeps_the_state(fit_head, tmp_path):
    fit_head({"num_epochs": 2})
    damaged = features(6)
    damaged[3] = float("nan")
    with pytest.raises(TrainingError, match=r"became nan in epoch 2, batch of samples t3\. ") as e:
        fit_head({"num_epochs": 4, "train_batch_size": 1}, train=damaged)
    assert "Lower lr" in str(e.value)
    state = load_checkpoint(tmp_path / "work")
    assert state is not None
    assert state["epoch"] == 1


def test_early_stop_waits_as_long_as_it_is_told(fit_head):
    """With a vanishing learning rate no epoch is better than the first."""
    changes = {"num_epochs": 9, "lr": 1e-30, "train.early_stopping_patience": 3} | NO_WARMUP
    result = fit_head(changes)
    assert result.best_epoch == 0
    assert len(result.history) == 4


def test_no_early_stop_by_default(fit_head):
    assert len(fit_head({"num_epochs": 6, "lr": 1e-30}).history) == 6


def test_early_stop_holds_after_a_resume(fit_head):
    changes = {"num_epochs": 9, "lr": 1e-30, "train.early_stopping_patience": 2} | NO_WARMUP
    assert len(fit_head(changes).history) == 3
    assert len(fit_head(changes).history) == 3


def test_best_epoch_by_loss(fit_head):
    result = fit_head({"num_epochs": 5, "train.select_by": "loss", "lr": 0.02} | NO_WARMUP)
    assert result.best_epoch == int(result.history["val_nll"].idxmin())


def test_no_epoch_of_the_warmup_is_the_best_one(fit_head, small_options, monkeypatch):
    """Sigma is not trained there, however well the means rank."""
    values = iter([0.9, 0.9, 0.8, 0.8, 0.1, 0.1, 0.3, 0.3])
    monkeypatch.setattr(validation, "_rho", lambda predicted, target: next(values))
    changes = {"num_epochs": 4, "train.loss.mse_warmup_fraction": 0.5}
    changes["train.early_stopping_patience"] = 1
    result = fit_head(changes)
    assert len(result.history) == 4
    assert result.best_epoch == 3
    assert EpochChoice.of(small_options(changes), num_val=NUM_VAL).best_epoch(result.history) == 3


def test_result_has_the_weights_of_the_best_epoch(fit_head, small_options):
    result = fit_head({"num_epochs": 5, "train.calibrate_sigma": False, "lr": 0.02})
    val = scored("v", NUM_VAL)
    prediction = predict(
        result.model,
        FeatureFeed(features(NUM_VAL) * 0.5, device=CPU),
        performances=val.performances,
        batch_size=4,
        precision="fp32",
        show_progress=False,
    )
    mae = (prediction.mu - val.targets.final_score).abs().mean().item()
    assert mae == pytest.approx(result.history["val_mae"][result.best_epoch], rel=1e-6)


def test_calibration_fits_sigma_to_the_validation_residuals(fit_head):
    """Of two equal trainings, one scales sigma, by √((1 + Σ z²) / (1 + n)) and by t / 1.645."""
    sigmas = []
    val = scored("v", NUM_VAL)
    for name, calibrate in (("plain", False), ("scaled", True)):
        result = fit_head({"num_epochs": 2, "train.calibrate_sigma": calibrate}, name=name)
        prediction = predict(
            result.model,
            FeatureFeed(features(NUM_VAL) * 0.5, device=CPU),
            performances=val.performances,
            batch_size=4,
            precision="fp32",
            show_progress=False,
        )
        sigmas.append(prediction.sigma)
    z = (val.targets.final_score - prediction.mu) / sigmas[0]
    widening = stats.t.ppf(0.95, 1 + NUM_VAL) / stats.norm.ppf(0.95)
    expected = math.sqrt((1 + z.square().sum().item()) / (1 + NUM_VAL)) * widening
    torch.testing.assert_close(sigmas[1], expected * sigmas[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize("num_val", [4, 5, 10])
def test_too_few_to_rank_choose_by_their_likelihood(fit_head, small_options, num_val):
    changes = {"num_epochs": 5, "lr": 0.02} | NO_WARMUP
    result = fit_head(changes, num_val=num_val)
    assert result.history["val_spearman"].isna().all()
    assert result.history["val_spearman_execution"].isna().all()
    assert result.best_epoch == int(result.history["val_nll"].idxmin())
    assert result.best_epoch < 4, "the last epoch would be no choice"
    assert (
        EpochChoice.of(small_options(changes), num_val=num_val).best_epoch(result.history)
        == result.best_epoch
    )
    few = f"{num_val} validation samples, which are too few to rank"
    assert result.chosen_by == f"chosen by the greatest likelihood of {few}"


def test_eleven_choose_by_their_rank_correlation(fit_head, small_options):
    changes = {"num_epochs": 5, "lr": 0.02} | NO_WARMUP
    result = fit_head(changes, num_val=11)
    assert result.history["val_spearman"].notna().all()
    assert result.best_epoch == int(result.history["val_spearman"].idxmax())
    assert EpochChoice.of(small_options(changes), num_val=11).best_epoch(result.history) == (
        result.best_epoch
    )
    assert result.chosen_by == "chosen by the best rank correlation on 11 validation samples"


@pytest.mark.parametrize(("num_val", "noun"), [(1, "sample"), (3, "samples")])
@pytest.mark.parametrize("select_by", ["spearman", "loss"])
def test_a_handful_chooses_nothing(fit_head, small_options, num_val, noun, select_by):
    changes = {"num_epochs": 5, "lr": 0.02, "train.select_by": select_by} | NO_WARMUP
    changes["train.early_stopping_patience"] = 1
    result = fit_head(changes, num_val=num_val)
    assert result.history["val_nll"].idxmin() < 4, "a choice would have taken another one"
    assert (result.best_epoch, len(result.history)) == (4, 5)
    assert EpochChoice.of(small_options(changes), num_val=num_val).best_epoch(result.history) == 4
    assert result.chosen_by == f"the last one, since {num_val} validation {noun} cannot choose"


def test_epochs_without_any_rho_are_chosen_by_likelihood(fit_head, monkeypatch):
    """As where all predictions of all epochs are equal; of equal likelihoods the first counts."""
    values = iter([5.0, 3.0, 4.0, 3.0])

    def validate(*_: object, **__: object) -> dict[str, float]:
        return {"val_mae": 1.0, "val_nll": next(values), "val_spearman": math.nan}

    monkeypatch.setattr(loop, "validation_figures", validate)
    result = fit_head({"num_epochs": 4} | NO_WARMUP)
    assert result.best_epoch == 1
    expected = (
        "chosen by the greatest likelihood of 12 validation samples, which have no rank correlation"
    )
    assert result.chosen_by == expected


def test_the_choice_is_told_as_it_was_made(fit_head):
    ranked = fit_head({"num_epochs": 1}, name="ranked").chosen_by
    assert ranked == "chosen by the best rank correlation on 12 validation samples"
    loss = fit_head({"num_epochs": 1, "train.select_by": "loss"}, name="loss").chosen_by
    assert loss == "chosen by the greatest likelihood of 12 validation samples"


def test_undefined_rho_is_no_better_than_any_other(fit_head, monkeypatch):
    """Constant predictions have no rho; the history says NaN and a later epoch wins."""
    values = iter([math.nan, math.nan, -0.5, -0.5, math.nan, math.nan])
    monkeypatch.setattr(validation, "_rho", lambda predicted, target: next(values))
    result = fit_head({"num_epochs": 3} | NO_WARMUP)
    assert result.history["val_spearman"].isna().tolist() == [True, False, True]
    assert result.best_epoch == 1


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_out_of_memory_says_what_to_lower(fit_head, monkeypatch, error):
    def exhausted(*_: object, **__: object) -> float:
        raise error

    monkeypatch.setattr(loop, "_train_epoch", exhausted)
    with pytest.raises(TrainingError, match=r"memory is exhausted .*train\.accumulate_steps"):
        fit_head({})


def test_an_operation_that_cannot_repeat_says_what_to_set(fit_head, monkeypatch):
    def refused(*_: object, **__: object) -> float:
        raise RuntimeError(
            "max_pool3d_backward does not have a deterministic implementation, but …"
        )

    monkeypatch.setattr(loop, "_train_epoch", refused)
    with pytest.raises(TrainingError, match=r"max_pool3d_backward .*train\.deterministic to false"):
        fit_head({})


def test_batch_size_does_not_change_predictions():
    model = fresh_model()
    feed = FeatureFeed(features(5), device=CPU)
    one, five = (
        predict(
            model,
            feed,
            performances=scored("t", 5).performances,
            batch_size=size,
            precision="fp32",
            show_progress=False,
        )
        for size in (1, 5)
    )
    assert torch.equal(one.mu, five.mu)
    assert torch.equal(one.sigma, five.sigma)


def test_an_output_that_is_no_number_names_its_sample():
    inputs = features(3)
    inputs[1] = math.inf
    with pytest.raises(
        ModelError, match=r"samples cannot be used; 1 problem.*\n  sample 't1': the model's"
    ):
        predict(
            fresh_model(),
            FeatureFeed(inputs, device=CPU),
            performances=scored("t", 3).performances,
            batch_size=2,
            precision="fp32",
            show_progress=False,
        )
