"""What the model's rank correlation is compared with: baselines, limits and published figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dae_aqa.scoring import Scale

Kind = Literal["to beat", "shortcut", "limit", "judges", "published", "model"]
RHO_KEYS: dict[Scale, str] = {"final": "spearman", "execution": "spearman_execution"}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A rank correlation beside the model's own.

    Attributes:
        label: how the page names it.
        rho: its Spearman correlation with the judged score.
        scale: the score that it ranks; it is compared with the model's rho of the same score.
        kind: `to beat` takes next to no insight; `shortcut` knows some true faults exactly, which
            shows how far a model could get with those alone; `limit` knows what no model can know;
            `judges` is how well judges rank as each other do; `published` is another's result;
            `model` is the model itself.
        source: where it is published; '' where it is computed here.
        interval: its 95 % interval (low, high); None where none is told.
        rl2_x100: its R-l2 times 100; None where none is told.
    """

    label: str
    rho: float
    scale: Scale
    kind: Kind
    source: str = ""
    interval: tuple[float, float] | None = None
    rl2_x100: float | None = None
