"""One training from tables to a trained model: device, model, feeds, loop."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from dae_aqa.clips.augmentation import Augmenter
from dae_aqa.inference.device import (
    compile_in_place,
    keep_freed_memory,
    resolve_device,
    set_determinism,
    set_threads,
)
from dae_aqa.inference.familiarity import training_features
from dae_aqa.inference.inputs import Inputs
from dae_aqa.inference.processes import ALONE, Processes
from dae_aqa.inference.samples import ScoredSamples, select_samples
from dae_aqa.inference.trained_model import TrainedModel, TrainingRange, Usage
from dae_aqa.models.bins import known_bins
from dae_aqa.models.build import build_model
from dae_aqa.models.normalization import NORMALIZATIONS
from dae_aqa.models.options import METHODS, BinOptions, Bins, Exemplars
from dae_aqa.models.recompute import recompute_activations
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.running.places import user_path
from dae_aqa.scoring import SCORING_RULES
from dae_aqa.training.fit_inputs import FedSamples, FitOptions
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.loop import EpochCallback, FitResult, fit
from dae_aqa.training.options import SPLITS_OF, TrainingOptions

logger = logging.getLogger(__name__)
AS_PUBLISHED_WARNING = (
    "protocol as_published: the test samples choose the epoch, so figures on them say too much. It "
    "is there to check published figures by; compare with none of the protocol honest."
)


def train_model(
    options: TrainingOptions,
    *,
    scoring_rule: str | None,
    frames: NumberedFrameOptions,
    annotations: pd.DataFrame,
    splits: pd.DataFrame,
    inputs: Inputs,
    work_dir: Path,
    on_epoch: EpochCallback,
    processes: Processes = ALONE,
) -> tuple[TrainedModel, FitResult]:
    """Train as `options` say and return the model of the best epoch.

    Args:
        options: how to train.
        scoring_rule: the dataset's rule for the marks of judges; None where it has none.
        frames: how the samples' frames were made, for the model file.
        annotations: annotations table.
        splits: split table; 'test' is not looked at, unless the protocol is as_published.
        inputs: where clips or features come from.
        work_dir: checkpoints of this training; it goes on from them.
        on_epoch: called after each epoch with its number and figures, in process 0.
        processes: those that train together.

    Raises:
        DaeAqaError: data, parameters or weights do not fit, or the training cannot go on.
    """
    set_threads(options.train.num_threads)
    keep_freed_memory()
    set_determinism(options.train.deterministic)
    torch.manual_seed(options.seed)
    device = resolve_device(options.device)
    train, val = (
        select_samples(
            annotations,
            splits,
            split=split,
            scoring_rule=scoring_rule,
            with_judges=METHODS[options.model].needs_judges,
        )
        for split in SPLITS_OF[options.protocol]
    )
    logger.info(
        "training %s on %s: %d samples, %d choose the epoch (protocol %s)",
        options.model,
        device,
        *map(len, (train, val)),
        options.protocol,
    )
    if options.protocol == "as_published":
        logger.warning(AS_PUBLISHED_WARNING)
    trained = new_model(options, train, scoring_rule=scoring_rule, frames=frames, device=device)
    clips = options.train.clips
    augmenter = Augmenter(
        num_shifts=options.temporal_aug,
        flip=clips.flip,
        color_jitter=clips.color_jitter,
        seed=options.seed,
    )
    fed = FedSamples(train, inputs.feed(trained, train, augmenter=augmenter))
    result = fit(
        trained.model,
        options=FitOptions.of(options),
        choice=EpochChoice.of(options, num_val=len(val)),
        train=fed,
        val=FedSamples(val, inputs.feed(trained, val)),
        work_dir=work_dir,
        on_epoch=on_epoch,
        processes=processes,
    )
    features = training_features(
        trained.model,
        fed.feed,
        num_samples=len(train),
        batch_size=options.test_batch_size,
        precision=options.train.precision,
        processes=processes,
    )
    return replace(trained, features=features), result


def inputs_of(options: TrainingOptions, *, frames_dir: Path, features_dir: Path) -> Inputs:
    """Return where the clips or features of a training or an evaluation come from."""
    return Inputs(
        frames_dir=frames_dir,
        features_dir=features_dir,
        from_features=options.train.finetune == "head",
        batch_size=options.test_batch_size,
        precision=options.train.precision,
        num_workers=options.num_workers,
        cache=options.train.clips.cache,
    )


def new_model(
    options: TrainingOptions,
    train: ScoredSamples,
    *,
    scoring_rule: str | None,
    frames: NumberedFrameOptions,
    device: torch.device,
) -> TrainedModel:
    """Return the model that `options` ask for, on `device`, ready to be trained on `train`.

    Args:
        options: how to train.
        train: the training samples.
        scoring_rule: as in `train_model`, like the rest.
        frames: likewise.
        device: where the model goes.

    Raises:
        ModelError: unknown names, or weights that are missing, damaged or of another architecture.
    """
    judges = train.targets.judge_scores
    weights = options.train.backbone_weights
    section, facts = options.train, METHODS[options.model]
    model = build_model(
        model=options.model,
        backbone=options.backbone,
        backbone_weights=None if weights is None else user_path(weights),
        pretrained=options.train.pretrained,
        scoring_rule=scoring_rule,
        num_judges=None if judges is None else judges.shape[1],
        dropout=section.dropout,
        neck=section.neck,
        average_mirrored=section.average_mirrored,
        decoding=section.decoding,
        bins=_bins(section.bins, train, rule=scoring_rule) if facts.has_bins else None,
        exemplars=Exemplars(**dict(section.exemplars), sample_ids=train.sample_ids)
        if facts.has_exemplars
        else None,
    )
    model.set_bn_mode(options.train.bn)
    model.set_finetune(options.train.finetune)
    model.head.fit_to(train.targets, standardize=section.loss.standardize_targets)
    model.to(device)
    if options.train.channels_last:
        model.to(memory_format=torch.channels_last_3d)
    if options.train.activation_checkpointing:
        recompute_activations(model.backbone)
    if options.train.compile:
        compile_in_place(model.backbone, device=device)
    return TrainedModel(
        model,
        Usage(
            layout=section.clips.layout,
            normalization=NORMALIZATIONS.get(
                section.clips.normalization, model.backbone.normalization
            ),
            has_difficulty=bool((train.targets.difficulty != 1.0).any()),
            precision=section.precision,
            from_features=section.finetune == "head",
            frames=frames,
            trained_on=TrainingRange.of(train.targets),
        ),
    )


def _bins(options: BinOptions, train: ScoredSamples, *, rule: str | None) -> Bins:
    """Return the bins of marks where the method learns marks, or of final scores."""
    targets = train.targets
    if targets.judge_scores is None:
        return known_bins(options, targets.final_score, rule=None)
    assert rule is not None  # marks were checked against it
    return known_bins(options, targets.judge_scores, rule=SCORING_RULES[rule])
