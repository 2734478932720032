"""The training loop: epochs over the training samples, the best one chosen on validation.

Every epoch's randomness (order, augmentation, dropout, the draw of z) is a function of the seed and
the epoch alone. So a training that resumes after an epoch ends with the same bits as one that was
never stopped, and no generator state needs to be saved.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dae_aqa.inference.device import device_advice, memory_figures
from dae_aqa.inference.predict import autocast, exemplar_features, predict
from dae_aqa.inference.processes import ALONE, Processes, without_sync
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.targets import ScorePrediction, Targets
from dae_aqa.running.progress import Progress
from dae_aqa.training.checkpoint import load_checkpoint, save_checkpoint
from dae_aqa.training.epoch_plan import epoch_seed, plan_epoch
from dae_aqa.training.fit_inputs import FedSamples, FitOptions
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.loss_watch import LossWatch
from dae_aqa.training.optimization import Optimization
from dae_aqa.training.validation import validation_figures

logger = logging.getLogger(__name__)

EpochCallback = Callable[[int, dict[str, float]], None]
Figures = dict[str, float]


@dataclass(frozen=True)
class FitResult:
    """What a training ends with.

    Attributes:
        model: with the weights of the best epoch, sigma calibrated where asked for.
        history: one row per epoch, `training.history.COLUMNS`; rho is NaN where predictions are
            constant or samples too few.
        best_epoch: counted from 0.
        chosen_by: how that epoch was chosen, in words.
    """

    model: ScoreModel
    history: pd.DataFrame
    best_epoch: int
    chosen_by: str


@dataclass
class _Kept:
    """What grows over the epochs and is saved with them: the curves, and the best epoch so far."""

    history: list[Figures] = field(default_factory=list)
    best_value: tuple[float, float] = (-math.inf, -math.inf)
    best_epoch: int = -1
    best_state: dict[str, Tensor] = field(default_factory=dict)

    def add(self, figures: Figures, *, choice: EpochChoice, trained: nn.Module) -> None:
        """Add an epoch's figures, and keep its weights if it is the best so far.

        In the MSE warm-up sigma is not trained yet, so the first epoch after it is better than all
        of those, whatever their rank correlation.
        """
        self.history.append(figures)
        value = choice.value(figures)
        starts = figures["epoch"] in (0, choice.num_warmup_epochs)
        if starts or value > self.best_value:
            self.best_value, self.best_epoch = value, int(figures["epoch"])
            self.best_state = {
                key: tensor.detach().to("cpu", copy=True)
                for key, tensor in trained.state_dict().items()
            }


def fit(
    model: ScoreModel,
    *,
    options: FitOptions,
    choice: EpochChoice,
    train: FedSamples,
    val: FedSamples,
    work_dir: Path,
    on_epoch: EpochCallback,
    processes: Processes = ALONE,
) -> FitResult:
    """Train `model`, going on from the checkpoint in `work_dir` where there is one.

    Args:
        model: on its device; its target scale is already fitted.
        options: how to train.
        choice: how the epoch is chosen whose weights are kept.
        train: training samples, augmented.
        val: samples that choose the epoch.
        work_dir: holds the checkpoints of this training and of no other.
        on_epoch: called after each epoch with its number and figures, before its checkpoint, in
            process 0.
        processes: those that train together; all must call this with the same samples.

    Raises:
        TrainingError: the loss is not finite, memory is exhausted, a checkpoint cannot be written.
    """
    optimization = Optimization(model, options)
    stateful = {"model": model.trained_part, **optimization.stateful}
    kept = _resume(work_dir, stateful, processes)
    loss_of = processes.parallel(_BatchLoss(model, options))
    training = _Training(model, loss_of, optimization, options, train, val, processes)
    first, last = len(kept.history), options.num_epochs
    bar = Progress("train", total=last, unit="epoch", done=first, show=processes.is_first)
    with device_advice(), bar:
        for epoch in range(first, last):
            if _stops_early(kept, epoch, options=options, choice=choice):
                logger.info("early stop: no better epoch since %d", kept.best_epoch)
                break
            started = time.perf_counter()
            train_loss = _train_epoch(training, epoch, warmup=epoch < choice.num_warmup_epochs)
            train_seconds = time.perf_counter() - started
            with optimization.averaged():
                figures = {"epoch": float(epoch), "lr": optimization.lr, "train_loss": train_loss}
                figures |= _validate(training)
                kept.add(figures, choice=choice, trained=model.trained_part)
            speed = _speed(training, started=started, train_seconds=train_seconds)
            if processes.is_first:
                on_epoch(epoch, figures | speed)
                _save(work_dir, kept, stateful)
            logger.debug("epoch %d: %s", epoch, _one_line(figures | speed))
            bar.advance(note=_note(figures, speed, best_epoch=kept.best_epoch))

    model.trained_part.load_state_dict(kept.best_state)
    if options.calibrate_sigma:
        _calibrate_sigma(training)
    history = pd.DataFrame(kept.history).assign(protocol=choice.protocol)
    return FitResult(model, history, kept.best_epoch, choice.in_words(history))


@dataclass(frozen=True)
class _Training:
    """What all epochs of a training work with.

    Attributes:
        model: what is trained.
        loss_of: a `_BatchLoss`, as it runs in parallel.
        optimization: changes the model's weights.
        options: how to train.
        train: training samples.
        val: samples that choose the epoch.
        processes: those that train together.
    """

    model: ScoreModel
    loss_of: nn.Module
    optimization: Optimization
    options: FitOptions
    train: FedSamples
    val: FedSamples
    processes: Processes


def _train_epoch(training: _Training, epoch: int, *, warmup: bool) -> float:
    """Take one step per batch; return the mean loss per sample over all processes.

    Args:
        training: what the epoch works with.
        epoch: counted from 0.
        warmup: train the means alone, by their squared error.
    """
    train, options, processes = training.train, training.options, training.processes
    torch.manual_seed(epoch_seed(options.seed, epoch, rank=processes.rank))
    training.model.train()
    steps = plan_epoch(len(train.samples), epoch=epoch, options=options, processes=processes)
    fed = [
        _with_exemplars(training.model, piece.rows, epoch=epoch, options=options)
        for pieces in steps
        for piece in pieces
    ]
    batches = train.feed.batches(fed, epoch=epoch)
    watch = LossWatch(train.samples, epoch=epoch)
    for number, pieces in enumerate(steps, start=epoch * len(steps)):
        training.optimization.start_step(number, num_per_epoch=len(steps))
        for piece in pieces:
            indices, inputs = next(batches)  # clips (N, K, 3, T, S, S) or features (N, K, D)
            targets = train.samples.targets.take(indices).to(inputs.device)
            with without_sync(training.loss_of, last=piece is pieces[-1]):
                loss: Tensor = training.loss_of(inputs, targets, warmup=warmup)
                training.optimization.backward(loss, piece.weight)
            watch.add(loss.detach(), indices, num_counted=piece.num_counted)
        training.optimization.finish_step()
    return sum(processes.gather(watch.total())) / len(train.samples)


class _BatchLoss(nn.Module):
    """From what goes through the network to its loss, as one module.

    What runs in parallel must use all its parameters in its own forward pass, and a head that
    compares uses them in the loss.
    """

    def __init__(self, model: ScoreModel, options: FitOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options

    def forward(self, inputs: Tensor, targets: Targets, *, warmup: bool) -> Tensor:
        """Return the mean loss, a scalar.

        Args:
            inputs: clips (N, K, 3, T, S, S) or features (N, K, D).
            targets: of the N samples.
            warmup: train the means alone, by their squared error.
        """
        with autocast(inputs.device, self.options.precision):
            output = self.model(inputs, means_only=warmup)
        return self.model.loss(output, targets, options=self.options.loss, warmup=warmup)


def _with_exemplars(
    model: ScoreModel, rows: list[int], *, epoch: int, options: FitOptions
) -> list[int]:
    """Return the samples that go through the network for `rows`: with an exemplar for each, or not.

    A method that pairs as released draws the exemplars anew in every epoch.
    """
    head = model.head
    if not isinstance(head, ExemplarHead) or head.exemplars.pairs == "batch":
        return rows
    return rows + head.partners(rows, rng=np.random.default_rng([options.seed, epoch, *rows]))


def _validate(training: _Training) -> Figures:
    """Return the figures of the samples that choose the epoch, alike in every process."""
    training.processes.share_buffers(training.model)
    _hold_exemplars(training)
    return validation_figures(_predict(training), training.val.samples.targets)


def _hold_exemplars(training: _Training) -> None:
    """Let a head that compares keep the training samples as the backbone sees them now."""
    head = training.model.head
    if isinstance(head, ExemplarHead):
        features = exemplar_features(
            training.model,
            training.train.feed,
            num_samples=len(training.train.samples),
            batch_size=training.options.test_batch_size,
            precision=training.options.precision,
            processes=training.processes,
        )
        head.hold(features)


def _predict(training: _Training) -> ScorePrediction:
    return predict(
        training.model,
        training.val.feed,
        performances=training.val.samples.performances,
        batch_size=training.options.test_batch_size,
        precision=training.options.precision,
        show_progress=False,
        processes=training.processes,
    )


def _calibrate_sigma(training: _Training) -> None:
    samples = training.val.samples
    factor = training.model.fit_sigma_scale(_predict(training), samples.targets)
    logger.info("sigma scaled by %.3f on %d validation sample(s)", factor, len(samples))


def _stops_early(kept: _Kept, epoch: int, *, options: FitOptions, choice: EpochChoice) -> bool:
    patience = options.early_stopping_patience
    if patience is None or epoch <= choice.num_warmup_epochs < options.num_epochs:
        return False
    return epoch - kept.best_epoch > patience


def _speed(training: _Training, *, started: float, train_seconds: float) -> Figures:
    """Return the speed of an epoch that has ended, and its memory."""
    train = training.train
    return {
        "samples_per_second": len(train.samples) / train_seconds,
        "data_wait_fraction": train.feed.wait_seconds / train_seconds,
        "epoch_seconds": time.perf_counter() - started,
        **memory_figures(next(training.model.parameters()).device),
    }


def _save(work_dir: Path, kept: _Kept, stateful: dict[str, Any]) -> None:
    states = {name: part.state_dict() for name, part in stateful.items()}
    epoch = len(kept.history) - 1
    save_checkpoint({"epoch": epoch, "kept": vars(kept), **states}, work_dir)


def _resume(work_dir: Path, stateful: dict[str, Any], processes: Processes) -> _Kept:
    state = processes.agree(load_checkpoint(work_dir) if processes.is_first else None)
    if state is None:
        return _Kept()
    for name, part in stateful.items():
        part.load_state_dict(state[name])
    logger.info("resuming after epoch %d of an earlier run", state["epoch"])
    return _Kept(**state["kept"])


def _note(figures: Figures, speed: Figures, *, best_epoch: int) -> str:
    """Return what stands behind the progress bar."""
    rho, mae = figures["val_spearman"], figures["val_mae"]
    validation = f"val MAE {mae:.3g}" if math.isnan(rho) else f"val rho {rho:.3f}"
    return (
        f"loss {figures['train_loss']:.3f}, {validation}, "
        f"kept epoch {best_epoch}, lr {figures['lr']:.1e}, "
        f"{speed['samples_per_second']:.1f} samples/s, wait {speed['data_wait_fraction']:.0%}, "
        f"{max(speed['memory_mb'], speed.get('device_memory_mb', 0.0)) / 1000:.1f} GB"
    )


def _one_line(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
