"""Score models: heads, scales, predictions, and what is frozen."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import get_args

import numpy as np
import pytest
import torch
from model_options import loss_options
from torch import nn

from dae_aqa.errors import ModelError, ScoringError
from dae_aqa.models.build import build_model, load_released_checkpoint
from dae_aqa.models.heads.base import HeadOutput
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.options import METHODS, LossName
from dae_aqa.models.targets import ScorePrediction, Targets, check_features, make_targets

Build = Callable[..., ScoreModel]
NLL = loss_options("nll")


def test_ten_clips_and_the_head_are_the_references(
    i3d_states: dict[str, dict[str, torch.Tensor]],
    golden: ModuleType,
    reference: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    seed = int(reference["seed"])
    head = golden.fill(golden.load_spec("dae"), seed)
    path = tmp_path / "0.9449.pt"
    torch.save(
        {
            "epoch": 3,
            "i3d": i3d_states["inception"],
            "dae": {key: torch.from_numpy(value) for key, value in head.items()},
            "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
            "rho_best": np.float64(0.9449),  # the released loop saves SciPy's number as it is
        },
        path,
    )
    model = load_released_checkpoint(path, model="dae_mt")
    video = torch.from_numpy(golden.clip(seed + 1, frames=103))
    starts = [0, 10, 20, 30, 40, 50, 60, 70, 80, 87]
    clips = torch.stack([video[:, :, start : start + 16] for start in starts], dim=1)
    with torch.no_grad():
        features = model.features(clips)  # (1, 10, 1024)
        output = model(features)
    expected = reference["video_clips"]
    np.testing.assert_allclose(features[0], expected, rtol=1e-4, atol=1e-6 * expected.max())
    assert output.log_variance is not None
    np.testing.assert_allclose(output.values, reference["dae_mu"], rtol=1e-4)
    np.testing.assert_allclose(output.log_variance, reference["dae_logvar"], rtol=1e-4)
    prediction = model.predict(output, torch.tensor([3.0]))
    assert prediction.mu.item() == pytest.approx(3.0 * reference["dae_mu"].item(), rel=1e-4)


@pytest.mark.parametrize("name", list(METHODS))
def test_clips_are_pooled_and_samples_are_independent(name: str, small_model: Build) -> None:
    model = small_model(name).eval()
    clips = torch.randn(3, 2, 3, 8, 32, 32)
    with torch.no_grad():
        whole = model(clips)
        alone = model(clips[1:2])
        swapped = model(clips.flip(1))
    torch.testing.assert_close(whole.values[1:2], alone.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.values, swapped.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("loss", get_args(LossName))
def test_every_loss_reaches_every_parameter(
    name: str, loss: str, small_model: Build, dives: Targets
) -> None:
    model = small_model(name)
    model.head.fit_to(dives, standardize=True)
    options = loss_options(loss, alpha=0.6, beta=0.4)
    output = model(torch.rand(6, 2, model.backbone.feature_dim))
    value = model.loss(output, dives, options=options, warmup=False)
    value.backward()
    assert bool(torch.isfinite(value))
    for key, parameter in model.head.named_parameters():
        assert parameter.grad is not None, key
        assert bool((parameter.grad != 0).any()), key


@pytest.mark.parametrize("name", ["mlp", "dae", "dae_mt", "dae_judges"])
def test_warmup_is_the_mse_of_the_standardised_mean(
    name: str, small_model: Build, dives: Targets
) -> None:
    model = small_model(name)
    model.head.fit_to(dives, standardize=True)
    output = model(torch.rand(6, 1, model.backbone.feature_dim))
    value = model.loss(output, dives, options=NLL, warmup=True)
    target = model.head.target(dives).double()
    standardised = (target - target.mean()) / target.std()
    assert value.item() == pytest.approx(
        ((output.values.double() - standardised) ** 2).mean().item(), rel=1e-5
    )


@pytest.mark.parametrize("name", ["dae", "dae_mt"])
def test_predictions_speak_in_score_points(name: str, small_model: Build, dives: Targets) -> None:
    model = small_model(name)
    model.head.fit_to(dives, standardize=True)
    target = model.head.target(dives).double().squeeze(1)
    output = HeadOutput(torch.full((6, 1), 0.5), torch.full((6, 1), -1.0))
    prediction = model.predict(output, dives.difficulty)
    mu = (target.mean() + 0.5 * target.std()).repeat(6)
    sigma = (target.std() * np.exp(-0.5)).repeat(6)
    dd = dives.difficulty.double()
    unit = torch.ones(6).double() if name == "dae" else dd
    torch.testing.assert_close(prediction.mu, mu * unit, rtol=1e-5, atol=0)
    torch.testing.assert_close(prediction.sigma, sigma * unit, rtol=1e-5, atol=0)
    torch.testing.assert_close(prediction.mu_execution * dd, prediction.mu)
    torch.testing.assert_close(prediction.sigma_execution * dd, prediction.sigma)


def test_unscaled_models_are_the_identity(small_model: Build, dives: Targets) -> None:
    output = HeadOutput(torch.full((6, 1), 20.0), torch.full((6, 1), 2.0))
    prediction = small_model("dae_mt").predict(output, dives.difficulty)
    np.testing.assert_allclose(prediction.mu_execution, 20.0)
    np.testing.assert_allclose(prediction.sigma_execution, np.exp(1.0))


def test_judges_predict_what_the_rule_makes_of_their_marks(
    small_model: Build, dives: Targets
) -> None:
    model = small_model("dae_judges")
    assert dives.judge_scores is not None
    sure = torch.full((6, 8), -20.0)  # bounded to sigma = e^-5: all but certain marks
    prediction = model.predict(HeadOutput(dives.judge_scores, sure), dives.difficulty)
    np.testing.assert_allclose(prediction.mu, dives.final_score, rtol=1e-3)
    assert bool((prediction.sigma_execution < 0.05).all())


def shifted(z: list[float], dives: Targets) -> tuple[ScorePrediction, Targets]:
    """Return Gaussians of sigma 2 and scores that lie `z` sigmas from their means."""
    mu = torch.full((len(z),), 60.0, dtype=torch.float64)
    sigma = torch.full_like(mu, 2.0)
    scores = (60.0 + 2.0 * torch.tensor(z)).float()
    targets = dataclasses.replace(dives.take(torch.arange(len(z)) % 6), final_score=scores)
    return ScorePrediction(mu, sigma, mu / 3, sigma / 3), targets


@pytest.mark.parametrize(
    ("z", "factor"),
    [
        ([1.0], 2.919986 / 1.644854),  # (1 + 1) / (1 + 1); t of two degrees of freedom, 95 %
        ([0.0], math.sqrt(1 / 2) * 2.919986 / 1.644854),  # a hit is no reason for certainty
        ([3.0, -4.0], math.sqrt((1 + 9 + 16) / 3) * 2.353363 / 1.644854),
        ([2.0] * 35, math.sqrt((1 + 140) / 36) * 1.688298 / 1.644854),
        ([2.0] * 36, math.sqrt((4 + 144) / 40)),
    ],
)
def test_few_samples_say_little_of_sigma(
    z: list[float], factor: float, small_model: Build, dives: Targets
) -> None:
    model = small_model("dae_mt")
    assert model.fit_sigma_scale(*shifted(z, dives)) == pytest.approx(factor, rel=1e-6)
    assert float(model.head.sigma_scale) == pytest.approx(factor, rel=1e-6)


def test_many_samples_make_their_likelihood_greatest(small_model: Build, dives: Targets) -> None:
    prediction, targets = shifted([1.5, -2.0, 2.5, -1.0, 0.5, 3.0], dives)
    many = torch.arange(6).repeat(50)
    prediction = prediction.take(many)
    factor = small_model("dae_mt").fit_sigma_scale(prediction, targets.take(many))
    z = (targets.final_score[many].double() - prediction.mu) / prediction.sigma
    scales = torch.linspace(0.5, 3, 2501, dtype=torch.float64)
    nll = scales.log() + 0.5 * z.square().mean() / scales.square()
    assert factor == pytest.approx(float(scales[nll.argmin()]), rel=0.006)


def test_sigma_scale_keeps_every_mu(small_model: Build, dives: Targets) -> None:
    model = small_model("dae_mt")
    model.head.fit_to(dives, standardize=True)
    output = model(torch.rand(6, 1, model.backbone.feature_dim))
    before = model.predict(output, dives.difficulty)
    factor = model.fit_sigma_scale(before, dives)
    after = model.predict(output, dives.difficulty)
    torch.testing.assert_close(after.sigma, before.sigma * factor, rtol=1e-6, atol=0)
    torch.testing.assert_close(after.mu, before.mu, rtol=0, atol=0)


def test_frozen_batch_norm_keeps_its_statistics_and_trains_its_weights(small_model: Build) -> None:
    model = small_model("dae_mt")
    model.set_bn_mode("frozen")
    model.train()
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm3d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert model.head.training
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    model(torch.randn(2, 1, 3, 8, 32, 32)).values.sum().backward()
    after = [norm.running_mean for norm in norms if norm.running_mean is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(norm.weight.grad is not None for norm in norms)
    model.set_bn_mode("train")
    assert all(norm.training for norm in norms)


def test_finetuning_the_head_leaves_the_backbone_alone(small_model: Build) -> None:
    model = small_model("dae_mt")
    model.set_finetune("head")
    model.train()
    assert not any(module.training for module in model.backbone.modules())
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    model(torch.randn(2, 1, 3, 8, 32, 32)).values.sum().backward()
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    model.set_finetune("all")
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())


def _targets(**changes: object) -> Targets:
    values: dict[str, object] = {
        "final_score": [60.0, 70.0],
        "difficulty": [3.0, 3.0],
        "judge_scores": None,
        "scoring_rule": "diving",
        "sample_ids": ["good", "bad"],
    }
    return make_targets(**{**values, **changes})  # type: ignore[arg-type]


def test_targets_by_hand() -> None:
    """Final 60 with DD 3 and 70 with DD 3.5 are both an execution of 20."""
    marks = [[7.0, 6.5, 6.0, 7.0, 6.5, 7.0, 6.5], [8.0, 5.5, 6.0, 7.0, 6.5, 7.5, 6.5]]
    targets = _targets(final_score=[60.0, 70.0], difficulty=[3.0, 3.5], judge_scores=marks)
    assert targets.final_score.tolist() == [60.0, 70.0]
    assert targets.execution_score.tolist() == [20.0, 20.0]
    assert targets.difficulty.tolist() == [3.0, 3.5]
    assert targets.judge_scores is not None
    assert targets.judge_scores.tolist() == marks
    assert {t.dtype for t in dataclasses.astuple(targets)[:4]} == {torch.float32}
    second = dataclasses.astuple(targets.take(torch.tensor([1])).to("cpu"))
    assert [t.tolist() for t in second[:4]] == [[70.0], [20.0], [3.5], [marks[1]]]
    assert targets.action_class is None
    assert _targets().judge_scores is None


@pytest.mark.parametrize("has_judges", [False, True])
def test_predictions_of_parts_are_joined_in_order(has_judges: bool) -> None:
    def part(*values: float) -> ScorePrediction:
        columns = [torch.tensor(values) + step for step in range(5 if has_judges else 4)]
        return ScorePrediction(*columns)

    joined = ScorePrediction.joined([part(7.0, 8.0), part(3.0)])
    swapped = dataclasses.astuple(joined.take(torch.tensor([2, 0])))
    assert [values.tolist() for values in swapped[:4]] == [[3 + n, 7 + n] for n in range(4)]
    if has_judges:
        assert swapped[4].tolist() == [7.0, 11.0]
    else:
        assert swapped[4] is None


def test_marks_without_a_rule_and_tables_of_other_lengths_are_refused() -> None:
    with pytest.raises(ModelError, match="need the dataset's scoring_rule, got None"):
        _targets(judge_scores=[[7.0] * 7] * 2, scoring_rule=None)
    with pytest.raises(ModelError, match=r"2 samples need as many .* got 2 and 1"):
        _targets(difficulty=[3.0])


@pytest.mark.parametrize(("log_variance", "factor"), [(-50.0, np.exp(-5)), (50.0, np.exp(5))])
def test_sigma_stays_within_five_e_folds_of_the_scale(
    small_model: Build, dives: Targets, log_variance: float, factor: float
) -> None:
    model = small_model("dae")
    model.head.fit_to(dives, standardize=True)
    output = HeadOutput(torch.zeros(6, 1), torch.full((6, 1), log_variance))
    sigma = model.predict(output, dives.difficulty).sigma
    np.testing.assert_allclose(sigma, dives.final_score.std() * factor, rtol=1e-5)


def test_bad_samples_are_named() -> None:
    with pytest.raises(ModelError, match=r"sample 'bad': final_score must be .*got nan"):
        _targets(final_score=[60.0, float("nan")])
    with pytest.raises(ModelError, match=r"sample 'bad': difficulty must be > 0, got 0\.0"):
        _targets(difficulty=[3.0, 0.0])
    with pytest.raises(ScoringError, match=r"sample 'bad': 5 marks, expected 7"):
        _targets(judge_scores=[[7.0] * 7, [7.0] * 5])
    features = torch.zeros(2, 10, 4)
    features[1, 3, 2] = float("nan")
    with pytest.raises(ModelError, match=r"sample 'bad': its features hold NaN"):
        check_features(features, sample_ids=["good", "bad"])


def test_models_that_cannot_be_built_or_fed_say_why(small_model: Build, dives: Targets) -> None:
    arguments = {"backbone": "small3d", "backbone_weights": None, "pretrained": False}
    with pytest.raises(ModelError, match="'lstm' is not allowed; expected one of: mlp, dae, "):
        build_model(model="lstm", scoring_rule=None, num_judges=None, dropout=0.0, **arguments)
    for rule, judges in ((None, 7), ("diving", None)):
        with pytest.raises(
            ModelError,
            match=r"dae_judges needs judge scores.* models mlp, dae, dae_mt, usdl, core",
        ):
            build_model(
                model="dae_judges", scoring_rule=rule, num_judges=judges, dropout=0.0, **arguments
            )
    with pytest.raises(ScoringError, match="'diving' takes 5 or 7 marks, got 6"):
        build_model(
            model="dae_judges", scoring_rule="diving", num_judges=6, dropout=0.0, **arguments
        )
    judges = small_model("dae_judges")
    without = dataclasses.replace(dives, judge_scores=None)
    with pytest.raises(ModelError, match="learns from 7 judge scores per sample, got none"):
        judges.head.fit_to(without, standardize=True)
    same = dives.take(torch.tensor([0, 0, 0]))
    with pytest.raises(ModelError, match="at least two different scores"):
        small_model("dae").head.fit_to(same, standardize=True)
    output = HeadOutput(torch.zeros(2, 1), torch.zeros(2, 1))
    with pytest.raises(ModelError, match=r"difficulty must be .* got 0\.0 in row 1"):
        small_model("dae_mt").predict(output, torch.tensor([3.0, 0.0]))
    broken = HeadOutput(torch.tensor([[1.0], [float("nan")]]), torch.zeros(2, 1))
    with pytest.raises(ModelError, match=r"'row 1 of the batch': .* NaN or infinite"):
        small_model("dae").predict(broken, torch.ones(2))
    with pytest.raises(ModelError, match=r"shape \(N, K, 3, T, H, W\), got \(2, 3, 8, 32, 32\)"):
        small_model("dae")(torch.zeros(2, 3, 8, 32, 32))


@pytest.mark.parametrize("name", list(METHODS))
def test_a_model_names_judges_only_where_it_learns_from_them(name: str, small_model: Build) -> None:
    judges = ("diving", 7) if METHODS[name].needs_judges else (None, None)
    spec = small_model(name).spec  # of a dataset with a rule
    assert (spec.model, spec.backbone, spec.i3d_layout) == (name, "small3d", None)
    assert (spec.scoring_rule, spec.num_judges) == judges


@pytest.mark.parametrize("name", list(METHODS))
def test_dropout_acts_in_training_alone(name: str, small_model: Build) -> None:
    model = small_model(name, dropout=0.5)
    features = torch.rand(1, 1, model.backbone.feature_dim)
    model.eval()
    assert torch.equal(model(features).values, model(features).values)
    model.train()
    assert not torch.equal(model(features).values, model(features).values)


def test_the_head_is_two_hidden_layers_by_hand(small_model: Build) -> None:
    """Features, averaged over the clips → 256 → 128 → mean and log-variance, with ReLU between."""
    model = small_model("dae").eval()
    state = {key: value.double().numpy() for key, value in model.head.net.state_dict().items()}
    assert {key: value.shape for key, value in state.items() if key.endswith("weight")} == {
        "fc1.weight": (256, 256),
        "fch.weight": (128, 256),
        "fc2_mean.weight": (1, 128),
        "fc2_logvar.weight": (1, 128),
    }
    features = torch.randn(5, 3, 256, generator=torch.Generator().manual_seed(0))
    hidden = features.double().numpy().mean(axis=1)
    for layer in ("fc1", "fch"):
        hidden = np.maximum(hidden @ state[f"{layer}.weight"].T + state[f"{layer}.bias"], 0)
    with torch.no_grad():
        output = model(features)
    assert output.log_variance is not None
    for found, layer in ((output.values, "fc2_mean"), (output.log_variance, "fc2_logvar")):
        expected = hidden @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_scores_leave_in_full_precision_where_less_is_computed_with(small_model: Build) -> None:
    """A bfloat16 tells 80 from 80.5, but not from 80.2."""
    model = small_model("dae").eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(torch.rand(2, 1, 256))
    assert {part.dtype for part in output if part is not None} == {torch.float32}


def test_predictions_carry_no_gradient(small_model: Build, dives: Targets) -> None:
    model = small_model("dae")
    output = model(torch.rand(6, 1, 256))
    assert output.values.requires_grad
    assert not model.predict(output, dives.difficulty).mu.requires_grad
