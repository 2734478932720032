"""From what a dataset knows of its baselines to what the report compares the model with."""

from __future__ import annotations

from dae_aqa.datasets import Dataset
from dae_aqa.datasets.base import BaselineLabel
from dae_aqa.metrics.human_ceiling import ceilings_of
from dae_aqa.metrics.summary import Metrics, baselines_of
from dae_aqa.report import Reference

# computed for every dataset, see `dae_aqa.metrics.summary`
_DIFFICULTY_ONLY = BaselineLabel(label="Difficulty alone", scale="final", kind="to beat")


def references_of(dataset: Dataset, metrics: Metrics) -> list[Reference]:
    """Return the metrics' baselines, in the dataset's order, its judges, then what is published.

    Of the baselines of one group, the one that ranks best stands for all of them. A baseline that
    the dataset does not describe is one of the execution score that must be beaten.
    """
    rhos = baselines_of(metrics)
    labels = {"difficulty_only": _DIFFICULTY_ONLY, **dataset.baseline_labels}
    for name in sorted(rhos.keys() - labels.keys()):
        labels[name] = BaselineLabel(
            label=name.replace("_", " "), scale="execution", kind="to beat"
        )
    best: dict[tuple[str, str], str] = {}
    for name, label in labels.items():
        if name in rhos:
            key = (label.group, "" if label.group else name)
            best[key] = max(best.get(key, name), name, key=lambda each: (rhos[each], each))
    computed = [
        Reference(
            label=labels[name].label,
            rho=rhos[name],
            scale=labels[name].scale,
            kind=labels[name].kind,
        )
        for name in best.values()
    ]
    judges = [
        Reference(
            label=label,
            rho=found.rho,
            scale="final",
            kind="judges",
            interval=(found.low, found.high),
        )
        for label, found in ceilings_of(metrics).items()
    ]
    published = [
        Reference(
            label=item.label,
            rho=item.rho,
            scale=item.scale,
            kind="published",
            source=item.source,
            rl2_x100=item.rl2_x100,
        )
        for item in dataset.published
    ]
    return computed + judges + published
