"""The marks of judges that a head learns from."""

from __future__ import annotations

from torch import Tensor

from dae_aqa.errors import ModelError
from dae_aqa.models.targets import Targets


def checked_marks(targets: Targets, *, num_judges: int, model: str) -> Tensor:
    """Return marks (N, J).

    Raises:
        ModelError: the targets carry no marks, or another number of them.
    """
    marks = targets.judge_scores
    if marks is None or marks.shape[1] != num_judges:
        got = "none" if marks is None else str(marks.shape[1])
        raise ModelError(
            f"model {model} learns from {num_judges} judge scores per sample, got {got}. "
            "Give judge_scores in the annotations, or choose the model dae_mt."
        )
    return marks
