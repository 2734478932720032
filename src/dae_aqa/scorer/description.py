"""What a scorer is, in words and numbers: printed by `dae-aqa inspect`, answered at `/model`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dae_aqa import __version__
from dae_aqa.files.hashing import file_sha256
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.scorer.window import View


def describe(
    models: Sequence[TrainedModel], *, view: View, sources: Sequence[Path]
) -> dict[str, Any]:
    """Return what the models are and how they look at videos, as JSON holds it.

    Args:
        models: of the scorer.
        view: what they have in common.
        sources: their files; names and hashes are told, not where they lie.
    """
    files = [{"file": path.name, "sha256": file_sha256(path)} for path in sources]
    return {
        "dae_aqa_version": __version__,
        "num_models": len(models),
        "models": [
            file | _of_model(trained)
            for trained, file in zip(models, files or [{}] * len(models), strict=True)
        ],
        "frames": view.frames.model_dump(mode="json"),
        "clips": view.layout.model_dump(mode="json"),
        "num_frames_looked_at": len(view.layout.frame_indices),
    }


def _of_model(trained: TrainedModel) -> dict[str, Any]:
    spec, usage = trained.model.spec, trained.usage
    exemplars = spec.exemplars
    return {
        "model": spec.model,
        "backbone": spec.backbone,
        "num_parameters": sum(each.numel() for each in trained.model.parameters()),
        "scoring_rule": spec.scoring_rule,
        "num_judges": spec.num_judges,
        "scale": "points of the final score",
        "needs_difficulty": trained.needs_difficulty,
        "needs_action_class": trained.needs_action_class,
        "precision": usage.precision,
        "trained_on": None
        if usage.trained_on is None
        else usage.trained_on.model_dump(mode="json"),
        "knows_training_features": trained.features is not None,
        "num_exemplars": None if exemplars is None else len(exemplars.sample_ids),
    }


def description_lines(description: dict[str, Any]) -> list[str]:
    """Return a description as lines to read: a key and its value each, sections indented."""
    lines = []
    for key, value in description.items():
        if isinstance(value, dict):
            lines += [f"{key}:", *(f"  {line}" for line in description_lines(value))]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, each in enumerate(value, start=1):
                lines += [f"{key} {number}:", *(f"  {line}" for line in description_lines(each))]
        else:
            lines.append(f"{key}: {'none' if value is None else value}")
    return lines
