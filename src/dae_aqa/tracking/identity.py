"""What a run is about: the revision of the code, the DVC experiment, the model's file."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

from dae_aqa.options import flatten
from dae_aqa.running.places import experiment_name

RESUME_TAG = "dae_aqa.resume_key"
LOCK_TAG = "dae_aqa.lock"
ERROR_TAG = "dae_aqa.error"
MODEL_TAG = "dae_aqa.model_sha256"
IMPORTED_TAG = "imported"  # what `evaluate.checkpoint` named, of a model not trained here
PARENT_TAG = "mlflow.parentRunId"  # by which the UI shows a run below another

logger = logging.getLogger(__name__)


def code_tags(*, root: Path) -> dict[str, str]:
    """Return tags for the script, the git revision of `root` and, inside DVC, the experiment.

    `git.dirty` ignores `params.yaml` and `dvc.lock`: each experiment changes these two, and the
    run holds what they say.
    """
    tags = {"mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.type": "LOCAL"}
    revision = _git("rev-parse", "HEAD", root=root)
    if revision is not None:
        changes = _git(
            *("status", "--porcelain", "--untracked-files=no", "--"),
            *(".", ":(exclude)params.yaml", ":(exclude)dvc.lock"),
            root=root,
        )
        tags["mlflow.source.git.commit"] = revision
        tags["git.dirty"] = "true" if changes else "false"
    for tag, value in (
        ("dvc.exp_name", experiment_name()),
        ("dvc.exp_baseline_rev", os.environ.get("DVC_EXP_BASELINE_REV")),
    ):
        if value:
            tags[tag] = value
    return tags


def committed_text(path: Path, *, root: Path) -> str | None:
    """Return the text of `path`, relative to `root`, as last committed, or None."""
    return _git("show", f"HEAD:./{path.as_posix()}", root=root)


def flat_params(params: Mapping[str, object]) -> dict[str, str]:
    """Return nested `params` as dotted keys and text: strings as they are, the rest as JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in flatten(params).items()
    }


def flat_metrics(metrics: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers in nested `metrics` under dotted keys; list items count from 0.

    A value that is no number (an undefined metric is null or NaN) is left out.
    """
    numbers: dict[str, float] = {}
    for key, value in flatten(metrics).items():
        items = enumerate(value) if isinstance(value, list | tuple) else [("", value)]
        for index, item in items:
            if isinstance(item, Real) and not isinstance(item, bool) and not math.isnan(item):
                numbers[key if index == "" else f"{key}.{index}"] = float(item)
    return numbers


def _git(*arguments: str, root: Path) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.info(
            "The MLflow run lacks what git knows: `git %s` failed (%s).", arguments[0], error
        )
        return None
    return done.stdout.strip()
