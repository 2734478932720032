"""Models that were trained elsewhere, in the place of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dae_aqa.errors import ModelError
from dae_aqa.inference.trained_model import TrainedModel, model_file
from dae_aqa.models.build import is_model_file
from dae_aqa.models.options import released_checkpoint_fault
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.packs.store import PackedSample, SampleMeta
from dae_aqa.running.places import user_path
from dae_aqa.splits.make import rows_of_part
from dae_aqa.training.options import TrainingOptions
from dae_aqa.wording import first_few, problem_list


def import_models(
    checkpoint: str,
    *,
    options: TrainingOptions,
    frames: NumberedFrameOptions,
    splits: pd.DataFrame,
    parts: Sequence[str],
    frames_dir: Path,
) -> dict[str, TrainedModel]:
    """Return the model of each part.

    A file serves every part, a folder holds one for each. The content tells a model file of this
    project, which knows its clips, from a checkpoint of the released DAE code, whose clips are made
    as `train.clips` says.

    Args:
        checkpoint: names the file or the folder.
        options: the model and the backbone that it must be, and the clips of a released one.
        frames: how the samples' frames are made, for a model that does not say how its own were.
        splits: split table.
        parts: names of the parts.
        frames_dir: folder of packed samples.

    Raises:
        ModelError: a file is missing, damaged or of another kind; it is another model than
            `options` say; or the test samples have fewer or smaller frames than its clips need.
            All such faults of all parts are named.
    """
    place = user_path(checkpoint)
    if place.is_dir():
        files = {part: model_file(place, part) for part in parts}
        missing = [str(path) for path in files.values() if not path.is_file()]
        if missing:
            raise ModelError(
                f"evaluate.checkpoint: the folder {checkpoint} lacks {first_few(missing)}; each "
                "part needs a model file there, or name one file for all of them."
            )
        models = {part: _load(path, options, frames) for part, path in files.items()}
    else:
        models = dict.fromkeys(parts, _load(place, options, frames))
    faults = list(dict.fromkeys(_faults(models, options, splits=splits, frames_dir=frames_dir)))
    if faults:
        raise ModelError(f"evaluate.checkpoint: {checkpoint}: {problem_list(faults)}")
    return models


def _load(path: Path, options: TrainingOptions, frames: NumberedFrameOptions) -> TrainedModel:
    if is_model_file(path):
        trained = TrainedModel.load(path)
        if trained.usage.frames is None:
            return replace(trained, usage=trained.usage.replaced(frames=frames))
        return trained
    fault = released_checkpoint_fault(model=options.model, backbone=options.backbone)
    if fault is not None:
        raise ModelError(f"{path}: {fault}")
    return TrainedModel.released(
        path, model=options.model, clips=options.train.clips, frames=frames
    )


def _faults(
    models: Mapping[str, TrainedModel],
    options: TrainingOptions,
    *,
    splits: pd.DataFrame,
    frames_dir: Path,
) -> Iterator[str]:
    for part, trained in models.items():
        spec = trained.model.spec
        if (spec.model, spec.backbone) != (options.model, options.backbone):
            yield (
                f"it holds a {spec.model!r} on {spec.backbone!r}, but model is {options.model!r} "
                f"and backbone {options.backbone!r}; set both to what it holds."
            )
        rows = rows_of_part(splits, part)
        tested = rows.loc[rows["split"] == "test", "sample_id"]
        yield from _frame_faults(trained, [_meta(frames_dir, name) for name in tested])


def _meta(frames_dir: Path, sample_id: str) -> SampleMeta:
    with PackedSample.open(frames_dir / f"{sample_id}.zip") as pack:
        return pack.meta


def _frame_faults(trained: TrainedModel, metas: Sequence[SampleMeta]) -> Iterator[str]:
    layout = trained.layout
    short = [meta for meta in metas if meta.window_length < layout.reach]
    if short:
        least = min(meta.window_length for meta in short)
        yield (
            f"its clips look at {layout.reach} frames of a sample, but {len(short)} test "
            f"sample(s) have fewer, e.g. {short[0].sample_id}, down to {least}; "
            f"set extract_frames.num_frames to {layout.reach} or more."
        )
    side_px = layout.padded_crop_px
    small = [meta for meta in metas if min(meta.width, meta.height) < side_px]
    if small:
        first = small[0]
        yield (
            f"its clips look at a square of {side_px} px, but {len(small)} test sample(s) have "
            f"smaller frames, e.g. {first.sample_id} of {first.width}x{first.height} px; set "
            f"extract_frames.width and extract_frames.height to {side_px} or more."
        )
