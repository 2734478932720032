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
from tqdm import tqdm

from dae_aqa.device import device_advice
from dae_aqa.errors import TrainingError
from dae_aqa.metrics import MetricUndefinedError, spearman
from dae_aqa.models.losses import LossOptions
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.targets import ScorePrediction
from dae_aqa.params import LossParams, Params
from dae_aqa.prediction import autocast, chunks, predict
from dae_aqa.training.checkpoint import load_checkpoint, save_checkpoint
from dae_aqa.training.feeds import Feed
from dae_aqa.training.samples import ScoredSamples
from dae_aqa.training.schedule import lr_factor, make_optimizer

logger = logging.getLogger(__name__)

EpochCallback = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class FitResult:
    """What a training ends with.

    Attributes:
        model: with the weights of the best epoch, sigma calibrated where asked for.
        history: one row per epoch: epoch, lr, train_loss, val_mae, val_nll, val_spearman,
            val_spearman_execution (NaN where predictions are constant).
        best_epoch: counted from 0.
    """

    model: ScoreModel
    history: pd.DataFrame
    best_epoch: int


@dataclass
class _Progress:
    """What grows over the epochs and is saved with them."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_value: float = -math.inf
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
        on_epoch: called after each epoch with its number and figures, before its checkpoint.

    Raises:
        TrainingError: the loss is not finite, memory is exhausted, a checkpoint cannot be written.
    """
    optimizer = make_optimizer(
        model.parameters(),
        name=params.train.optimizer,
        lr=params.lr,
        weight_decay=params.weight_decay,
    )
    scaler = torch.amp.GradScaler(enabled=params.train.precision == "fp16")
    stateful = {"model": model, "optimizer": optimizer, "scaler": scaler}
    progress = _resume(work_dir, stateful)
    first_epoch = len(progress.history)
    bar = tqdm(total=params.num_epochs, initial=first_epoch, desc="train", unit="epoch")
    with device_advice(), bar:
        for epoch in range(first_epoch, params.num_epochs):
            if _stops_early(progress, epoch, patience=params.train.early_stopping_patience):
                logger.info("early stop: no better epoch since %d", progress.best_epoch)
                break
            started = time.perf_counter()
            torch.manual_seed(_epoch_seed(params.seed, epoch))
            train_loss = _train_epoch(
                model,
                params=params,
                samples=train,
                feed=train_feed,
                epoch=epoch,
                optimizer=optimizer,
                scaler=scaler,
            )
            train_seconds = time.perf_counter() - started
            figures = {
                "epoch": float(epoch),
                "lr": optimizer.param_groups[0]["lr"],
                "train_loss": train_loss,
                **_validate(model, params=params, samples=val, feed=val_feed),
            }
            _note_epoch(progress, figures, model=model, select_by=params.train.select_by)
            speed = {
                "samples_per_second": len(train) / train_seconds,
                "data_wait_fraction": train_feed.wait_seconds / train_seconds,
                "epoch_seconds": time.perf_counter() - started,
            }
            on_epoch(epoch, figures | speed)
            _save(work_dir, progress, stateful)
            logger.debug("epoch %d: %s", epoch, _one_line(figures | speed))
            bar.set_postfix_str(
                f"loss {train_loss:.3f}, val rho {figures['val_spearman']:.3f}, "
                f"best epoch {progress.best_epoch}, wait {speed['data_wait_fraction']:.0%}"
            )
            bar.update()

    model.load_state_dict(progress.best_state)
    if params.train.calibrate_sigma:
        prediction = _predict(model, params=params, samples=val, feed=val_feed)
        factor = model.fit_sigma_scale(prediction, val.targets)
        logger.info("sigma scaled by %.3f on the validation samples", factor)
    return FitResult(model, pd.DataFrame(progress.history), progress.best_epoch)


def _train_epoch(
    model: ScoreModel,
    *,
    params: Params,
    samples: ScoredSamples,
    feed: Feed,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> float:
    """Run one epoch of optimizer steps and return its mean loss per sample."""
    model.train()
    device = next(model.parameters()).device
    order = np.random.default_rng([params.seed, epoch]).permutation(len(samples)).tolist()
    batches = chunks(order, params.train_batch_size)
    warmup = epoch < params.train.loss.mse_warmup_fraction * params.num_epochs
    options = loss_options(params.train.loss)
    total_loss = 0.0
    inputs_of = feed.batches(
        [piece for batch in batches for piece in _pieces(batch, params.train.accumulate_steps)],
        epoch=epoch,
    )
    for step, batch in enumerate(batches):
        _set_lr(
            optimizer,
            params=params,
            step=epoch * len(batches) + step,
            steps_per_epoch=len(batches),
        )
        optimizer.zero_grad(set_to_none=True)
        for _ in _pieces(batch, params.train.accumulate_steps):
            indices, inputs = next(inputs_of)
            targets = samples.targets.take(indices).to(device)
            with autocast(device, params.train.precision):
                output = feed.forward(model, inputs)
            loss = model.loss(output, targets, options=options, warmup=warmup, generator=None)
            _require_finite(loss, samples=samples, indices=indices, epoch=epoch)
            # the pieces' mean losses, weighted, add up to the batch's mean loss
            scaler.scale(loss * (len(indices) / len(batch))).backward()  # type: ignore[no-untyped-call]
            total_loss += loss.item() * len(indices)
        if params.train.clip_grad_norm is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), params.train.clip_grad_norm)
        scaler.step(optimizer)
        scaler.update()
    return total_loss / len(samples)


def _validate(
    model: ScoreModel, *, params: Params, samples: ScoredSamples, feed: Feed
) -> dict[str, float]:
    prediction = _predict(model, params=params, samples=samples, feed=feed)
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
    model: ScoreModel, *, params: Params, samples: ScoredSamples, feed: Feed
) -> ScorePrediction:
    return predict(
        model,
        feed,
        difficulty=samples.targets.difficulty,
        batch_size=params.test_batch_size,
        precision=params.train.precision,
        show_progress=False,
    )


def _rho(predicted: Tensor, target: Tensor) -> float:
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


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])


def _require_finite(loss: Tensor, *, samples: ScoredSamples, indices: Tensor, epoch: int) -> None:
    if not bool(torch.isfinite(loss)):
        names = ", ".join(samples.sample_ids[index] for index in indices.tolist())
        raise TrainingError(
            f"the loss became {loss.item()} in epoch {epoch}, batch of samples {names}. The state "
            "before this epoch is kept. Lower lr, set train.clip_grad_norm, or look at these "
            "samples; the run then starts anew, since its parameters changed."
        )


def _note_epoch(
    progress: _Progress, figures: dict[str, float], *, model: nn.Module, select_by: str
) -> None:
    """Add an epoch's figures, and keep its weights if it is the best so far."""
    progress.history.append(figures)
    value = figures["val_spearman"] if select_by == "spearman" else -figures["val_nll"]
    # an undefined rho is worse than any other, but the first epoch is a best one whatever it is
    if not progress.best_state or value > progress.best_value:
        progress.best_value = -math.inf if math.isnan(value) else value
        progress.best_epoch = int(figures["epoch"])
        progress.best_state = {
            key: tensor.detach().to("cpu", copy=True) for key, tensor in model.state_dict().items()
        }


def _stops_early(progress: _Progress, epoch: int, *, patience: int | None) -> bool:
    return patience is not None and epoch - progress.best_epoch > patience


def _save(work_dir: Path, progress: _Progress, stateful: dict[str, Any]) -> None:
    states = {name: part.state_dict() for name, part in stateful.items()}
    epoch = len(progress.history) - 1
    save_checkpoint({"epoch": epoch, "progress": vars(progress), **states}, work_dir)


def _resume(work_dir: Path, stateful: dict[str, Any]) -> _Progress:
    state = load_checkpoint(work_dir)
    if state is None:
        return _Progress()
    for name, part in stateful.items():
        part.load_state_dict(state[name])
    logger.info("resuming after epoch %d of an earlier run", state["epoch"])
    return _Progress(**state["progress"])


def _one_line(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
