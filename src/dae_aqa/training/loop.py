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

from dae_aqa.device import device_advice, memory_figures
from dae_aqa.errors import TrainingError
from dae_aqa.metrics import MetricUndefinedError, spearman
from dae_aqa.models.heads import HeadOutput
from dae_aqa.models.losses import LossOptions
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.targets import ScorePrediction
from dae_aqa.params import LossParams, Params
from dae_aqa.prediction import autocast, chunks, predict
from dae_aqa.progress import Progress
from dae_aqa.sample_size import MIN_RANKED
from dae_aqa.training.checkpoint import load_checkpoint, save_checkpoint
from dae_aqa.training.feeds import Feed
from dae_aqa.training.history import epoch_value, how_chosen
from dae_aqa.training.processes import ALONE, Processes, without_sync
from dae_aqa.training.samples import ScoredSamples
from dae_aqa.training.schedule import first_likelihood_epoch, lr_factor, make_optimizer

logger = logging.getLogger(__name__)

EpochCallback = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class FitResult:
    """What a training ends with.

    Attributes:
        model: with the weights of the best epoch, sigma calibrated where asked for.
        history: one row per epoch: epoch, lr, train_loss, val_mae, val_nll, val_spearman,
            val_spearman_execution (NaN where predictions are constant or samples too few).
        best_epoch: counted from 0.
        chosen_by: how that epoch was chosen, in words, see `history.how_chosen`.
    """

    model: ScoreModel
    history: pd.DataFrame
    best_epoch: int
    chosen_by: str


@dataclass
class _Progress:
    """What grows over the epochs and is saved with them."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_value: tuple[float, float] = (-math.inf, -math.inf)
    best_epoch: int = -1
    best_state: dict[str, Tensor] = field(default_factory=dict)


def fit(
    model: ScoreModel,
    *,
    params: Params,
    train: ScoredSamples,
    train_feed: Feed,
    val: ScoredSamples,
    val_feed: Feed,
    work_dir: Path,
    on_epoch: EpochCallback,
    processes: Processes = ALONE,
) -> FitResult:
    """Train `model`, going on from the checkpoint in `work_dir` where there is one.

    Args:
        model: on its device; its target scale is already fitted.
        params: the whole parameters; top level and `train` are used.
        train: training samples.
        train_feed: gives the training samples' inputs, augmented.
        val: validation samples, which choose the epoch.
        val_feed: gives the validation samples' inputs.
        work_dir: holds the checkpoints of this training and of no other.
        on_epoch: called after each epoch with its number and figures, before its checkpoint, in
            process 0.
        processes: those that train together; all must call this with the same samples.

    Raises:
        TrainingError: the loss is not finite, memory is exhausted, a checkpoint cannot be written.
    """
    trained = model.trained_part
    optimizer = make_optimizer(
        trained.parameters(),
        name=params.train.optimizer,
        lr=params.lr,
        weight_decay=params.weight_decay,
    )
    device = next(model.parameters()).device
    # by default it works on CUDA alone and is silently off elsewhere
    scaler = torch.amp.GradScaler(device.type, enabled=params.train.precision == "fp16")
    stateful = {"model": trained, "optimizer": optimizer, "scaler": scaler}
    progress = _resume(work_dir, stateful, processes)
    steps = _Steps(
        params=params,
        samples=train,
        feed=train_feed,
        forward=processes.parallel(_Forward(model, train_feed)),
        model=model,
        parameters=list(trained.parameters()),
        optimizer=optimizer,
        scaler=scaler,
        processes=processes,
    )
    first_epoch = len(progress.history)
    bar = Progress(
        "train",
        total=params.num_epochs,
        unit="epoch",
        done=first_epoch,
        show=processes.is_first,
    )
    with device_advice(), bar:
        for epoch in range(first_epoch, params.num_epochs):
            if _stops_early(progress, epoch, params=params):
                logger.info("early stop: no better epoch since %d", progress.best_epoch)
                break
            started = time.perf_counter()
            torch.manual_seed(_epoch_seed(params.seed, epoch, rank=processes.rank))
            train_loss = steps.run(epoch)
            train_seconds = time.perf_counter() - started
            processes.share_buffers(model)
            figures = {
                "epoch": float(epoch),
                "lr": optimizer.param_groups[0]["lr"],
                "train_loss": train_loss,
                **_validate(model, params=params, samples=val, feed=val_feed, processes=processes),
            }
            _note_epoch(progress, figures, trained=trained, params=params, num_val=len(val))
            speed = {
                "samples_per_second": len(train) / train_seconds,
                "data_wait_fraction": train_feed.wait_seconds / train_seconds,
                "epoch_seconds": time.perf_counter() - started,
                **memory_figures(next(model.parameters()).device),
            }
            if processes.is_first:
                on_epoch(epoch, figures | speed)
                _save(work_dir, progress, stateful)
            logger.debug("epoch %d: %s", epoch, _one_line(figures | speed))
            bar.advance(note=_note(figures, speed, best_epoch=progress.best_epoch))

    trained.load_state_dict(progress.best_state)
    if params.train.calibrate_sigma:
        prediction = _predict(model, params=params, samples=val, feed=val_feed, processes=processes)
        factor = model.fit_sigma_scale(prediction, val.targets)
        logger.info("sigma scaled by %.3f on %d validation sample(s)", factor, len(val))
    history = pd.DataFrame(progress.history)
    chosen_by = how_chosen(history, params=params, num_val=len(val))
    return FitResult(model, history, progress.best_epoch, chosen_by)


class _Forward(nn.Module):
    """What runs in parallel: a feed's way through the model."""

    def __init__(self, model: ScoreModel, feed: Feed) -> None:
        super().__init__()
        self.model = model
        self._feed = feed

    def forward(self, inputs: Tensor, *, means_only: bool) -> HeadOutput:
        output = self._feed.forward(self.model, inputs)
        # what has no part in the loss must not leave: its gradient would be waited for
        return HeadOutput(output.mu, None) if means_only else output


@dataclass(frozen=True)
class _Steps:
    """The optimizer steps of an epoch, and all that they need."""

    params: Params
    samples: ScoredSamples
    feed: Feed
    forward: nn.Module
    model: ScoreModel
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    processes: Processes

    def run(self, epoch: int) -> float:
        """Take one step per batch; return the mean loss per sample over all processes."""
        params = self.params
        self.model.train()
        order = np.random.default_rng([params.seed, epoch]).permutation(len(self.samples)).tolist()
        batches = chunks(order, params.train_batch_size)
        warmup = epoch < first_likelihood_epoch(params)
        watch = _LossWatch(self.samples, epoch=epoch)
        shares = [self.processes.share(batch) for batch in batches]
        pieces = [_pieces(own, params.train.accumulate_steps) for own, _ in shares]
        inputs_of = self.feed.batches([group for groups in pieces for group in groups], epoch=epoch)
        for step, (batch, (_, num_counted), groups) in enumerate(
            zip(batches, shares, pieces, strict=True)
        ):
            _set_lr(
                self.optimizer,
                params=params,
                step=epoch * len(batches) + step,
                steps_per_epoch=len(batches),
            )
            self.optimizer.zero_grad(set_to_none=True)
            for number, _ in enumerate(groups):
                indices, inputs = next(inputs_of)
                # the pieces' mean losses, weighted, add up to the batch's mean loss; several
                # processes average their gradients
                weight = len(indices) / len(batch) * self.processes.count if num_counted else 0.0
                last = number == len(groups) - 1
                with without_sync(self.forward, last=last):
                    loss = self._loss(indices, inputs, warmup=warmup)
                    self.scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call]
                watch.add(loss.detach(), indices, num_counted=len(indices) if num_counted else 0)
            self._update()
        totals = self.processes.gather(watch.total())
        return sum(totals) / len(self.samples)

    def _loss(self, indices: Tensor, inputs: Tensor, *, warmup: bool) -> Tensor:
        targets = self.samples.targets.take(indices).to(inputs.device)
        with autocast(inputs.device, self.params.train.precision):
            output = self.forward(inputs, means_only=warmup)
        return self.model.loss(
            output,
            targets,
            options=loss_options(self.params.train.loss),
            warmup=warmup,
            generator=None,
        )

    def _update(self) -> None:
        if self.params.train.clip_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.params.train.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()


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


def _validate(
    model: ScoreModel,
    *,
    params: Params,
    samples: ScoredSamples,
    feed: Feed,
    processes: Processes,
) -> dict[str, float]:
    prediction = _predict(model, params=params, samples=samples, feed=feed, processes=processes)
    targets = samples.targets
    residual = targets.final_score.double() - prediction.mu
    nll = 0.5 * (residual / prediction.sigma) ** 2 + prediction.sigma.log()
    return {
        "val_mae": residual.abs().mean().item(),
        "val_nll": nll.mean().item() + 0.5 * math.log(2 * math.pi),
        "val_spearman": _rho(prediction.mu, targets.final_score),
        "val_spearman_execution": _rho(prediction.mu_execution, targets.execution_score),
    }


def _predict(
    model: ScoreModel,
    *,
    params: Params,
    samples: ScoredSamples,
    feed: Feed,
    processes: Processes,
) -> ScorePrediction:
    return predict(
        model,
        feed,
        samples=samples,
        batch_size=params.test_batch_size,
        precision=params.train.precision,
        show_progress=False,
        processes=processes,
    )


def _rho(predicted: Tensor, target: Tensor) -> float:
    if len(target) < MIN_RANKED:
        return math.nan
    try:
        return spearman(predicted=predicted.numpy(), target=target.numpy())
    except MetricUndefinedError:  # all predictions equal, as can happen in the first epochs
        return math.nan


def loss_options(params: LossParams) -> LossOptions:
    """Return the loss that `train.loss` asks for."""
    return LossOptions(
        name=params.name, alpha=params.alpha, beta=params.beta, beta_nll=params.beta_nll
    )


def _pieces(batch: list[int], num_pieces: int) -> list[list[int]]:
    """Return `batch` cut into micro-batches that fit the memory; their gradients add up."""
    return chunks(batch, math.ceil(len(batch) / num_pieces))


def _set_lr(
    optimizer: torch.optim.Optimizer, *, params: Params, step: int, steps_per_epoch: int
) -> None:
    factor = lr_factor(
        step,
        num_steps=params.num_epochs * steps_per_epoch,
        num_warmup_steps=round(params.train.warmup_epochs * steps_per_epoch),
        schedule=params.train.schedule,
    )
    for group in optimizer.param_groups:
        group["lr"] = params.lr * factor


def _epoch_seed(seed: int, epoch: int, *, rank: int) -> int:
    own = [rank] if rank else []
    return int(np.random.SeedSequence([seed, epoch, *own]).generate_state(1, np.uint64)[0])


def _note_epoch(
    progress: _Progress,
    figures: dict[str, float],
    *,
    trained: nn.Module,
    params: Params,
    num_val: int,
) -> None:
    """Add an epoch's figures, and keep its weights if it is the best so far.

    In the MSE warm-up sigma is not trained yet, so the first epoch after it is better than all of
    those, whatever their rank correlation.
    """
    progress.history.append(figures)
    value = epoch_value(figures, select_by=params.train.select_by, num_val=num_val)
    starts = figures["epoch"] in (0, first_likelihood_epoch(params))
    if starts or value > progress.best_value:
        progress.best_value = value
        progress.best_epoch = int(figures["epoch"])
        progress.best_state = {
            key: tensor.detach().to("cpu", copy=True)
            for key, tensor in trained.state_dict().items()
        }


def _stops_early(progress: _Progress, epoch: int, *, params: Params) -> bool:
    patience = params.train.early_stopping_patience
    if patience is None or epoch <= first_likelihood_epoch(params) < params.num_epochs:
        return False
    return epoch - progress.best_epoch > patience


def _save(work_dir: Path, progress: _Progress, stateful: dict[str, Any]) -> None:
    states = {name: part.state_dict() for name, part in stateful.items()}
    epoch = len(progress.history) - 1
    save_checkpoint({"epoch": epoch, "progress": vars(progress), **states}, work_dir)


def _resume(work_dir: Path, stateful: dict[str, Any], processes: Processes) -> _Progress:
    state = processes.agree(load_checkpoint(work_dir) if processes.is_first else None)
    if state is None:
        return _Progress()
    for name, part in stateful.items():
        part.load_state_dict(state[name])
    logger.info("resuming after epoch %d of an earlier run", state["epoch"])
    return _Progress(**state["progress"])


def _note(figures: dict[str, float], speed: dict[str, float], *, best_epoch: int) -> str:
    """Return what stands behind the progress bar."""
    rho, mae = figures["val_spearman"], figures["val_mae"]
    validation = f"val MAE {mae:.3g}" if math.isnan(rho) else f"val rho {rho:.3f}"
    return (
        f"loss {figures['train_loss']:.3f}, {validation}, "
        f"kept epoch {best_epoch}, lr {figures['lr']:.1e}, "
        f"{speed['samples_per_second']:.1f} samples/s, wait {speed['data_wait_fraction']:.0%}, "
        f"{max(speed['memory_mb'], speed.get('device_memory_mb', 0.0)) / 1000:.1f} GB"
    )


def _one_line(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
