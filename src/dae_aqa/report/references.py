"""What a rank correlation is compared with: baselines, ceilings and published figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dae_aqa.metrics.summary import baselines_of
from dae_aqa.report.inputs import ReportInputs

Scale = Literal["final", "execution"]
Kind = Literal["to beat", "shortcut", "limit", "published"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A rank correlation beside the model's own.

    Attributes:
        label: how the page names it.
        rho: its Spearman correlation with the judged score.
        scale: the score that it is about, which is the one of the model's to compare with.
        kind: `to beat` takes next to no insight; `shortcut` knows some true faults exactly, which
            shows how far a model could get with those alone; `limit` knows what no model can know;
            `published` is another's result.
        source: of a published figure.
    """

    label: str
    rho: float
    scale: Scale
    kind: Kind
    source: str = ""


_FAULT_PREFIX = "fault_"  # of the baselines that know a single true fault
_BASELINES: dict[str, tuple[str, Scale, Kind]] = {
    "difficulty_only": ("Difficulty alone", "final", "to beat"),
    "difficulty": ("Difficulty alone, of the execution", "execution", "to beat"),
    "splash": ("Splash alone", "execution", "to beat"),
    "splash_entry": ("Splash and entry angle", "execution", "shortcut"),
    "all_faults": ("All faults", "execution", "limit"),
    "ceiling": ("True quality: the ceiling", "execution", "limit"),
}
_PUBLISHED = {
    "mtl_aqa": (
        Reference(
            label="DAE, published",
            rho=0.9231,
            scale="final",
            kind="published",
            source="Zhang et al., Auto-Encoding Score Distribution Regression for AQA (2021)",
        ),
        Reference(
            label="DAE-MT, published",
            rho=0.9452,
            scale="final",
            kind="published",
            source="Zhang et al., Auto-Encoding Score Distribution Regression for AQA (2021)",
        ),
    )
}


def references_of(inputs: ReportInputs) -> list[Reference]:
    """Return the baselines among the metrics, in a fixed order, then what is published.

    Of the single faults only the one that ranks best stands for all of them.
    """
    values = baselines_of(inputs.metrics)
    faults = {name: values.pop(name) for name in list(values) if name.startswith(_FAULT_PREFIX)}
    references = [
        Reference(label=label, rho=values[name], scale=scale, kind=kind)
        for name, (label, scale, kind) in _BASELINES.items()
        if name in values
    ]
    if faults:
        best = max(faults, key=lambda name: (faults[name], name))
        label = f"{best.removeprefix(_FAULT_PREFIX).capitalize()} alone"
        references.append(
            Reference(label=label, rho=faults[best], scale="execution", kind="to beat")
        )
    references += [
        Reference(label=name.replace("_", " "), rho=rho, scale="execution", kind="to beat")
        for name, rho in values.items()
        if name not in _BASELINES
    ]
    return references + list(_PUBLISHED.get(inputs.dataset, ()))
