"""Whole trainings on the CPU: they learn, repeat to the bit, and resume to the same bits."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tests.tiny_training import FRAMES, MakeOptions, TinyData
from torch._inductor import config as inductor_config

from dae_aqa.errors import FrameStoreError, TrainingError
from dae_aqa.inference import features as features_module
from dae_aqa.inference.samples import ScoredSamples, select_samples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.training.fit_inputs import FedSamples, FitOptions
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.loop import FitResult, fit
from dae_aqa.training.options import TrainingOptions
from dae_aqa.training.session import new_model

Trained = tuple[TrainedModel, FitResult]


def assert_same_bits(one: Trained, other: Trained) -> None:
    pd.testing.assert_frame_equal(one[1].history, other[1].history, check_exact=True)
    assert one[1].best_epoch == other[1].best_epoch
    states = [trained.model.state_dict() for trained, _ in (one, other)]
    assert states[0].keys() == states[1].keys()
    differing = [key for key in states[0] if not torch.equal(states[0][key], states[1][key])]
    assert not differing


@pytest.fixture(scope="module")
def undisturbed(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    return tiny_data.train(small_options(), tmp_path_factory.mktemp("undisturbed"))


def test_overfits_four_samples(small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path):
    options = small_options(
        {
            "train_batch_size": 4,
            "num_epochs": 40,
            "temporal_aug": 0,
            "train.clips.jitter_px": 0,
            "train.clips.flip": False,
            "train.clips.color_jitter": 0.0,
            "train.dropout": 0.0,
            "train.loss.mse_warmup_fraction": 1.0,
        }
    )
    _, result = tiny_data.train(options, tmp_path)
    loss = result.history["train_loss"]
    assert loss.iloc[0] > 0.3  # in units of the targets' variance
    assert loss.iloc[-1] < 0.03
    # scores of 20, 50 and 80 by brightness; the mean of the training samples misses by 20
    assert result.history["val_mae"].min() < 8
    assert result.history["epoch"].tolist() == list(range(40))


def test_history_and_best_epoch(undisturbed):
    history, best = undisturbed[1].history, undisturbed[1].best_epoch
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert best == 3  # three validation samples choose nothing
    assert {"lr", "train_loss", "val_mae", "val_nll"} <= set(history.columns)
    # one warm-up epoch of two steps, then half a cosine: lr is that of each epoch's last step
    factors = [2 / 3, 0.9330, 0.5, 0.0670]
    assert history["lr"].tolist() == pytest.approx([3e-3 * f for f in factors], rel=1e-3)


def test_same_seed_same_bits(undisturbed, small_options, tiny_data, tmp_path):
    assert_same_bits(tiny_data.train(small_options(), tmp_path), undisturbed)


def test_another_seed_other_bits(undisturbed, small_options, tiny_data, tmp_path):
    _, other = tiny_data.train(small_options({"seed": 1, "num_epochs": 1}), tmp_path)
    assert other.history["train_loss"][0] != undisturbed[1].history["train_loss"][0]


def interrupt_after(epoch: int, error: type[BaseException]):
    def on_epoch(number: int, figures: dict[str, float]) -> None:
        del figures
        if number == epoch:
            raise error

    return on_epoch


@pytest.mark.parametrize(
    ("epoch", "error"), [(0, KeyboardInterrupt), (1, RuntimeError), (3, KeyboardInterrupt)]
)
def test_resumed_training_ends_with_the_same_bits(
    undisturbed, small_options, tiny_data, tmp_path, epoch, error
):
    options = small_options()
    with pytest.raises(error, match=r"^$"):
        tiny_data.train(options, tmp_path, on_epoch=interrupt_after(epoch, error))
    seen: list[int] = []
    resumed = tiny_data.train(
        options, tmp_path, on_epoch=lambda number, figures: seen.append(number)
    )
    assert seen == list(range(epoch, 4))  # the epoch that was told but not saved is told again
    assert_same_bits(resumed, undisturbed)


def test_training_that_had_ended_gives_its_result_again(
    undisturbed, small_options, tiny_data, tmp_path
):
    tiny_data.train(small_options(), tmp_path)
    assert_same_bits(
        tiny_data.train(small_options(), tmp_path, on_epoch=interrupt_after(3, RuntimeError)),
        undisturbed,
    )


@pytest.mark.slow
def test_workers_and_a_resume_change_no_bit(undisturbed, small_options, tiny_data, tmp_path):
    """Dropout draws from the global generator; loading must not, or this would differ."""
    options = small_options({"num_workers": 1, "train.clips.cache": False})
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        tiny_data.train(options, tmp_path, on_epoch=interrupt_after(2, KeyboardInterrupt))
    assert_same_bits(tiny_data.train(options, tmp_path), undisturbed)


def test_activation_checkpointing_changes_no_bit(undisturbed, small_options, tiny_data, tmp_path):
    options = small_options({"train.activation_checkpointing": True})
    assert_same_bits(tiny_data.train(options, tmp_path), undisturbed)


@pytest.mark.slow
def test_compiled_training_differs_by_rounding_alone(
    undisturbed, small_options, tiny_data, tmp_path
):
    options = small_options({"train.compile": True, "num_epochs": 1})
    trained, result = tiny_data.train(options, tmp_path)
    expected = undisturbed[1].history["train_loss"][0]
    assert result.history["train_loss"].tolist() == pytest.approx([expected], rel=1e-3)
    assert trained.model.state_dict().keys() == undisturbed[0].model.state_dict().keys()


def test_without_a_compiler_the_parameter_is_named(small_options, tiny_data, tmp_path):
    """And before the first step: something small is compiled at once."""
    torch._dynamo.reset()  # forget what was compiled before
    with (
        inductor_config.patch({"cpp.cxx": (None, "/no/such/compiler")}),
        pytest.raises(
            TrainingError, match=r"train\.compile: true needs a working compiler for cpu"
        ),
    ):
        tiny_data.train(small_options({"train.compile": True}), tmp_path)


def test_noise_of_the_released_loss_resumes_too(small_options, tiny_data, tmp_path):
    options = small_options(
        {"num_epochs": 2, "train.loss.name": "mse", "train.loss.mse_warmup_fraction": 0.0}
    )
    whole = tiny_data.train(options, tmp_path / "whole")
    with pytest.raises(RuntimeError, match=r"^$"):
        tiny_data.train(options, tmp_path / "cut", on_epoch=interrupt_after(1, RuntimeError))
    assert_same_bits(tiny_data.train(options, tmp_path / "cut"), whole)


HEAD: dict[str, Any] = {
    "train.finetune": "head",
    "train.clips.jitter_px": 0,
    "train.dropout": 0.0,
    "num_epochs": 3,
    "lr": 1e-3,
}


def samples_of(data: TinyData) -> dict[str, ScoredSamples]:
    return {
        split: select_samples(
            data.annotations, data.splits, split=(split,), scoring_rule=None, with_judges=False
        )
        for split in ("train", "val")
    }


def train_head_through_clips(options: TrainingOptions, data: TinyData, folder: Path) -> FitResult:
    """Train the head with the frozen backbone run anew in every step."""
    samples = samples_of(data)
    torch.manual_seed(options.seed)
    trained = new_model(
        options, samples["train"], scoring_rule=None, frames=FRAMES, device=torch.device("cpu")
    )
    train, val = (
        FedSamples(
            content,
            trained.feed(
                content.sample_ids, frames_dir=data.frames_dir, num_workers=0, cache=False
            ),
        )
        for content in samples.values()
    )
    (folder / "clips").mkdir(parents=True)
    return fit(
        trained.model,
        options=FitOptions.of(options),
        choice=EpochChoice.of(options, num_val=len(val.samples)),
        train=train,
        val=val,
        work_dir=folder / "clips",
        on_epoch=lambda epoch, figures: None,
    )


def test_head_on_cached_features_equals_the_way_through_clips(small_options, tiny_data, tmp_path):
    options = small_options(HEAD)
    trained, cached = tiny_data.train(options, tmp_path / "cached")
    through_clips = train_head_through_clips(options, tiny_data, tmp_path)
    pd.testing.assert_frame_equal(cached.history, through_clips.history, rtol=1e-3, atol=1e-4)
    torch.manual_seed(options.seed)
    fresh = new_model(
        options,
        samples_of(tiny_data)["train"],
        scoring_rule=None,
        frames=FRAMES,
        device=torch.device("cpu"),
    )
    for key, value in fresh.model.backbone.state_dict().items():
        assert torch.equal(trained.model.backbone.state_dict()[key], value), key


def test_features_are_computed_once(small_options, tiny_data, tmp_path, monkeypatch, caplog):
    calls: list[int] = []
    compute = features_module._compute

    def counting(trained, samples, **options):
        calls.append(len(samples))
        return compute(trained, samples, **options)

    monkeypatch.setattr(features_module, "_compute", counting)

    def train(name: str, changes: dict[str, Any]) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "features").symlink_to(tmp_path / "features")
        tiny_data.train(small_options(HEAD | {"num_epochs": 1} | changes), tmp_path / name)

    (tmp_path / "features").mkdir()
    train("first", {})
    assert calls == [4, 3]
    train("other_lr", {"lr": 5e-4})
    assert calls == [4, 3]
    train("other_clips", {"train.clips.starts": [0, 2]})
    assert calls == [4, 3, 4, 3]
    for path in (tmp_path / "features").iterdir():
        path.write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        train("damaged_cache", {})
    assert calls == [4, 3, 4, 3, 4, 3]
    assert "is damaged" in caplog.text


def test_missing_frames_stop_before_the_first_epoch(small_options, tiny_data, tmp_path):
    lost = TinyData(tiny_data.annotations, tiny_data.splits, tmp_path)
    with pytest.raises(FrameStoreError, match=r"t0\.zip: cannot open the packed sample"):
        lost.train(small_options(), tmp_path)
