"""One training from tables to a trained model: device, model, feeds, loop."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import torch

from dae_aqa.clips.dataset import SampleDataset
from dae_aqa.device import (
    compile_in_place,
    keep_freed_memory,
    resolve_device,
    set_determinism,
    set_threads,
)
from dae_aqa.models import build_model, recompute_activations
from dae_aqa.params import Params
from dae_aqa.trained_model import TrainedModel
from dae_aqa.training.feeds import Feed
from dae_aqa.training.inputs import plain_feed
from dae_aqa.training.loop import EpochCallback, FitResult, fit
from dae_aqa.training.processes import ALONE, Processes
from dae_aqa.training.samples import ScoredSamples, select_samples

logger = logging.getLogger(__name__)


def train_model(
    params: Params,
    *,
    annotations: pd.DataFrame,
    splits: pd.DataFrame,
    frames_dir: Path,
    features_dir: Path,
    work_dir: Path,
    on_epoch: EpochCallback,
    processes: Processes = ALONE,
) -> tuple[TrainedModel, FitResult]:
    """Train as `params` says and return the model of the best epoch.

    Args:
        params: the whole parameters.
        annotations: annotations table.
        splits: split table; 'test' is not looked at.
        frames_dir: folder of packed samples.
        features_dir: cache of clip features, used where only the head is trained.
        work_dir: checkpoints of this training; it goes on from them.
        on_epoch: called after each epoch with its number and figures, in process 0.
        processes: those that train together.

    Raises:
        DaeAqaError: data, parameters or weights do not fit, or the training cannot go on.
    """
    set_threads(params.train.num_threads)
    keep_freed_memory()
    set_determinism(params.train.deterministic)
    torch.manual_seed(params.seed)
    device = resolve_device(params.device)
    train, val = (
        select_samples(
            annotations,
            splits,
            split=split,
            scoring_rule=params.dataset_params.scoring_rule,
            with_judges=params.model == "dae_judges",
        )
        for split in ("train", "val")
    )
    logger.info(
        "training %s on %s: %d samples, %d for validation",
        params.model,
        device,
        *map(len, (train, val)),
    )
    trained = new_model(params, train, device=device)
    train_feed = _training_feed(
        trained, train, params=params, frames_dir=frames_dir, features_dir=features_dir
    )
    val_feed = plain_feed(
        trained, val, params=params, frames_dir=frames_dir, features_dir=features_dir
    )
    result = fit(
        trained.model,
        params=params,
        train=train,
        train_feed=train_feed,
        val=val,
        val_feed=val_feed,
        work_dir=work_dir,
        on_epoch=on_epoch,
        processes=processes,
    )
    trained.model.eval()
    return trained, result


def new_model(params: Params, train: ScoredSamples, *, device: torch.device) -> TrainedModel:
    """Return the model that `params` ask for, on `device`, ready to be trained on `train`.

    Raises:
        ModelError: unknown names, or weights that are missing, damaged or of another architecture.
    """
    judges = train.targets.judge_scores
    weights = params.train.backbone_weights
    model = build_model(
        model=params.model,
        backbone=params.backbone,
        backbone_weights=None if weights is None else Path(weights),
        pretrained=params.train.pretrained,
        scoring_rule=params.dataset_params.scoring_rule,
        num_judges=None if judges is None else judges.shape[1],
        dropout=params.train.dropout,
    )
    model.set_bn_mode(params.train.bn)
    model.set_finetune(params.train.finetune)
    if params.train.loss.standardize_targets:
        model.fit_target_scale(train.targets)
    model.to(device)
    if params.train.channels_last:
        model.to(memory_format=torch.channels_last_3d)
    if params.train.activation_checkpointing:
        recompute_activations(model.backbone)
    if params.train.compile:
        compile_in_place(model.backbone, device=device)
    has_difficulty = bool((train.targets.difficulty != 1.0).any())
    return TrainedModel.for_training(model, params.train.clips, has_difficulty=has_difficulty)


def _training_feed(
    trained: TrainedModel,
    samples: ScoredSamples,
    *,
    params: Params,
    frames_dir: Path,
    features_dir: Path,
) -> Feed:
    """Return the samples' clips, augmented, or the features of a backbone that is not trained."""
    clips = params.train.clips
    if params.train.finetune == "head":
        return plain_feed(
            trained, samples, params=params, frames_dir=frames_dir, features_dir=features_dir
        )
    dataset = SampleDataset(
        sample_ids=samples.sample_ids,
        frames_dir=frames_dir,
        layout=trained.layout,
        augment=True,
        num_shifts=params.temporal_aug,
        flip=clips.flip,
        color_jitter=clips.color_jitter,
        seed=params.seed,
        cache=clips.cache,
    )
    return trained.feed_of(
        dataset,
        num_workers=0 if clips.cache else params.num_workers,
    )
