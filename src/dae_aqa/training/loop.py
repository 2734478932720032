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
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dae_aqa.errors import TrainingError
from dae_aqa.inference.device import device_advice, memory_figures
from dae_aqa.inference.feeds import Feed
from dae_aqa.inference.options import Precision
from dae_aqa.inference.predict import autocast, chunks, exemplar_features, predict
from dae_aqa.inference.processes import ALONE, Processes, without_sync
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.options import LossOptions
from dae_aqa.models.targets import ScorePrediction, Targets
from dae_aqa.running.progress import Progress
from dae_aqa.training.averaging import WeightAverage
from dae_aqa.training.checkpoint import load_checkpoint, save_checkpoint
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.options import OptimizerName, Schedule, TrainingOptions
from dae_aqa.training.schedule import lr_factor, make_optimizer, set_lr
from dae_aqa.training.validation import validation_figures

logger = logging.getLogger(__name__)

EpochCallback = Callable[[int, dict[str, float]], None]
Figures = dict[str, float]


@dataclass(frozen=True)
class FitOptions:
    """The options that `fit` needs, under their names in `TrainingOptions`."""

    num_epochs: int
    train_batch_size: int
    test_batch_size: int
    lr: float
    weight_decay: float
    seed: int
    loss: LossOptions
    optimizer: OptimizerName
    schedule: Schedule
    warmup_epochs: float
    clip_grad_norm: float | None
    backbone_lr_factor: float
    average_weights: float
    accumulate_steps: int
    precision: Precision
    early_stopping_patience: int | None
    calibrate_sigma: bool

    @classmethod
    def of(cls, options: TrainingOptions) -> FitOptions:
        """Return those of a training with these options."""
        known = dict(options) | dict(options.train)
        if options.protocol == "as_published":  # no sample is left that sigma could be scaled by
            known["calibrate_sigma"] = False
        return cls(**{each.name: known[each.name] for each in fields(cls)})


@dataclass(frozen=True)
class FedSamples:
    """The samples of one split, and the feed that gives their clips or features."""

    samples: ScoredSamples
    feed: Feed


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
    trained, device = model.trained_part, next(model.parameters()).device
    optimizer = _optimizer_of(model, options)
    # by default it works on CUDA alone and is silently off elsewhere
    scaler = torch.amp.GradScaler(device.type, enabled=options.precision == "fp16")
    stateful: dict[str, Any] = {"model": trained, "optimizer": optimizer, "scaler": scaler}
    average = None
    if options.average_weights:
        average = WeightAverage(trained, decay=options.average_weights)
        stateful["average"] = average
    kept = _resume(work_dir, stateful, processes)
    loss_of = processes.parallel(_BatchLoss(model, options))
    first, last = len(kept.history), options.num_epochs
    bar = Progress("train", total=last, unit="epoch", done=first, show=processes.is_first)
    with device_advice(), bar:
        for epoch in range(first, last):
            if _stops_early(kept, epoch, options=options, choice=choice):
                logger.info("early stop: no better epoch since %d", kept.best_epoch)
                break
            started = time.perf_counter()
            train_loss = _train_epoch(
                model,
                loss_of,
                train,
                epoch=epoch,
                options=options,
                warmup=epoch < choice.num_warmup_epochs,
                optimizer=optimizer,
                scaler=scaler,
                average=average,
                processes=processes,
            )
            train_seconds = time.perf_counter() - started
            with nullcontext() if average is None else average.in_place():
                processes.share_buffers(model)
                _hold_exemplars(model, train, options, processes)
                figures = {
                    "epoch": float(epoch),
                    "lr": optimizer.param_groups[-1]["lr"],
                    "train_loss": train_loss,
                    **validation_figures(
                        _predict(model, val, options, processes), val.samples.targets
                    ),
                }
                kept.add(figures, choice=choice, trained=trained)
            speed = _speed(train, started=started, train_seconds=train_seconds, device=device)
            if processes.is_first:
                on_epoch(epoch, figures | speed)
                _save(work_dir, kept, stateful)
            logger.debug("epoch %d: %s", epoch, _one_line(figures | speed))
            bar.advance(note=_note(figures, speed, best_epoch=kept.best_epoch))

    trained.load_state_dict(kept.best_state)
    if options.calibrate_sigma:
        _calibrate_sigma(model, val, options, processes)
    history = pd.DataFrame(kept.history).assign(protocol=choice.protocol)
    return FitResult(model, history, kept.best_epoch, choice.in_words(history))


def _optimizer_of(model: ScoreModel, options: FitOptions) -> torch.optim.Optimizer:
    """Return the optimizer of what is trained; the backbone may learn at a rate of its own."""
    trained = model.trained_part
    backbone = list(model.backbone.parameters())
    is_backbone = {id(parameter) for parameter in backbone}
    others = [each for each in trained.parameters() if id(each) not in is_backbone]
    groups = [(list(trained.parameters()), 1.0)]
    if options.backbone_lr_factor != 1.0:
        groups = [(backbone, options.backbone_lr_factor), (others, 1.0)]
    return make_optimizer(
        groups,
        name=options.optimizer,
        lr=options.lr,
        weight_decay=options.weight_decay,
    )


def _train_epoch(
    model: ScoreModel,
    loss_of: nn.Module,
    train: FedSamples,
    *,
    epoch: int,
    options: FitOptions,
    warmup: bool,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    average: WeightAverage | None,
    processes: Processes,
) -> float:
    """Take one step per batch; return the mean loss per sample over all processes.

    Args:
        model: what is trained.
        loss_of: a `_BatchLoss`, as it runs in parallel.
        train: training samples.
        epoch: counted from 0.
        options: how to train.
        warmup: train the means alone, by their squared error.
        optimizer: over the trained parameters.
        scaler: of the loss, for fp16.
        average: of the weights, which follows each step.
        processes: those that train together.
    """
    torch.manual_seed(_epoch_seed(options.seed, epoch, rank=processes.rank))
    model.train()
    steps = _plan(len(train.samples), epoch=epoch, options=options, processes=processes)
    fed = [
        _with_exemplars(model, piece.rows, epoch=epoch, options=options)
        for step in steps
        for piece in step
    ]
    batches = train.feed.batches(fed, epoch=epoch)
    watch = _LossWatch(train.samples, epoch=epoch)
    for number, pieces in enumerate(steps):
        factor = lr_factor(
            epoch * len(steps) + number,
            num_steps=options.num_epochs * len(steps),
            num_warmup_steps=round(options.warmup_epochs * len(steps)),
            schedule=options.schedule,
        )
        set_lr(optimizer, factor=factor)
        optimizer.zero_grad(set_to_none=True)
        for piece in pieces:
            indices, inputs = next(batches)  # clips (N, K, 3, T, S, S) or features (N, K, D)
            targets = train.samples.targets.take(indices).to(inputs.device)
            with without_sync(loss_of, last=piece is pieces[-1]):
                loss: Tensor = loss_of(inputs, targets, warmup=warmup)
                scaler.scale(loss * piece.weight).backward()  # type: ignore[no-untyped-call]
            watch.add(loss.detach(), indices, num_counted=piece.num_counted)
        if options.clip_grad_norm is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.trained_part.parameters(), options.clip_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        if average is not None:
            average.update()
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


def _hold_exemplars(
    model: ScoreModel, train: FedSamples, options: FitOptions, processes: Processes
) -> None:
    """Let a head that compares keep the training samples as the backbone sees them now."""
    if isinstance(model.head, ExemplarHead):
        features = exemplar_features(
            model,
            train.feed,
            num_samples=len(train.samples),
            batch_size=options.test_batch_size,
            precision=options.precision,
            processes=processes,
        )
        model.head.hold(features)


@dataclass(frozen=True)
class _Piece:
    """What goes through the network at once: a part of this process's share of a batch.

    Attributes:
        rows: of the samples.
        weight: of its mean loss. The weighted losses of all pieces of a batch add up to the batch's
            mean loss, times the number of processes, whose gradients are averaged.
        num_counted: how many of the samples count; 0 where another process counts them.
    """

    rows: list[int]
    weight: float
    num_counted: int


def _plan(
    num_samples: int, *, epoch: int, options: FitOptions, processes: Processes
) -> list[list[_Piece]]:
    """Return the steps of an epoch for this process: a batch each, cut into pieces."""
    order = np.random.default_rng([options.seed, epoch]).permutation(num_samples).tolist()
    steps = []
    for batch in chunks(order, options.train_batch_size):
        own, num_counted = processes.share(batch)
        pieces = chunks(own, math.ceil(len(own) / options.accumulate_steps))
        counts = num_counted > 0
        steps.append(
            [
                _Piece(
                    rows,
                    weight=len(rows) / len(batch) * processes.count if counts else 0.0,
                    num_counted=len(rows) if counts else 0,
                )
                for rows in pieces
            ]
        )
    return steps


class _LossWatch:
    """Adds up the losses of an epoch and stops at one that is not finite.

    A loss is looked at when the next one has been asked for: on a GPU, looking at it at once would
    make the next step wait. What came after it is lost then, but the checkpoint before the epoch
    is not.
    """

    def __init__(self, samples: ScoredSamples, *, epoch: int) -> None:
        self._samples, self._epoch = samples, epoch
        self._pending: tuple[Tensor, Tensor, int] | None = None
        self._total = 0.0

    def add(self, loss: Tensor, indices: Tensor, *, num_counted: int) -> None:
        """Note the mean loss (scalar) of the samples `indices`, `num_counted` of which count."""
        self._look()
        self._pending = (loss, indices, num_counted)

    def total(self) -> float:
        """Return the sum of all samples' losses."""
        self._look()
        self._pending = None
        return self._total

    def _look(self) -> None:
        if self._pending is None:
            return
        loss, indices, num_counted = self._pending
        value = loss.item()
        if not math.isfinite(value):
            names = ", ".join(self._samples.sample_ids[index] for index in indices.tolist())
            raise TrainingError(
                f"the loss became {value} in epoch {self._epoch}, batch of samples {names}. The "
                "state before this epoch is kept. Lower lr, set train.clip_grad_norm, or look at "
                "these samples; the run then starts anew, since its parameters changed."
            )
        self._total += value * num_counted


def _predict(
    model: ScoreModel, val: FedSamples, options: FitOptions, processes: Processes
) -> ScorePrediction:
    return predict(
        model,
        val.feed,
        performances=val.samples.performances,
        batch_size=options.test_batch_size,
        precision=options.precision,
        show_progress=False,
        processes=processes,
    )


def _calibrate_sigma(
    model: ScoreModel, val: FedSamples, options: FitOptions, processes: Processes
) -> None:
    prediction = _predict(model, val, options, processes)
    factor = model.fit_sigma_scale(prediction, val.samples.targets)
    logger.info("sigma scaled by %.3f on %d validation sample(s)", factor, len(val.samples))


def _epoch_seed(seed: int, epoch: int, *, rank: int) -> int:
    own = [rank] if rank else []
    return int(np.random.SeedSequence([seed, epoch, *own]).generate_state(1, np.uint64)[0])


def _stops_early(kept: _Kept, epoch: int, *, options: FitOptions, choice: EpochChoice) -> bool:
    patience = options.early_stopping_patience
    if patience is None or epoch <= choice.num_warmup_epochs < options.num_epochs:
        return False
    return epoch - kept.best_epoch > patience


def _speed(
    train: FedSamples, *, started: float, train_seconds: float, device: torch.device
) -> Figures:
    """Return the speed of an epoch that has ended, and its memory."""
    return {
        "samples_per_second": len(train.samples) / train_seconds,
        "data_wait_fraction": train.feed.wait_seconds / train_seconds,
        "epoch_seconds": time.perf_counter() - started,
        **memory_figures(device),
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
