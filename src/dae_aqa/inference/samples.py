"""The samples of one split with what they are trained towards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from dae_aqa.errors import SplitError
from dae_aqa.models.targets import Targets, make_targets
from dae_aqa.tables.annotations import parse_judge_scores
from dae_aqa.wording import first_few


@dataclass(frozen=True)
class Performances:
    """What a prediction must know of N performances besides their inputs.

    Attributes:
        sample_ids: N names.
        difficulty: degrees of difficulty (N,), float32.
        action_class: `targets.class_codes` of what was performed (N,); None where unknown.
    """

    sample_ids: list[str]
    difficulty: Tensor
    action_class: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sample_ids)

    def take(self, rows: Tensor) -> Performances:
        """Return those at `rows`, int64 (M,)."""
        codes = self.action_class
        return Performances(
            [self.sample_ids[row] for row in rows.tolist()],
            self.difficulty[rows],
            None if codes is None else codes[rows],
        )


@dataclass(frozen=True)
class ScoredSamples:
    """The samples of one split, in the order of the split table.

    Attributes:
        sample_ids: N ids.
        targets: their scores, tensors of shape (N,) or (N, J).
    """

    sample_ids: list[str]
    targets: Targets

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def performances(self) -> Performances:
        """The samples without their scores."""
        return Performances(self.sample_ids, self.targets.difficulty, self.targets.action_class)


def select_samples(
    annotations: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    split: Sequence[str],
    scoring_rule: str | None,
    with_judges: bool,
) -> ScoredSamples:
    """Return the samples of these splits with their scores.

    Args:
        annotations: annotations table.
        splits: split table.
        split: one or several of 'train', 'val' and 'test'.
        scoring_rule: the rule that judge marks must fit; None where the dataset has none.
        with_judges: whether the model learns from judge marks.

    Raises:
        SplitError: the split is empty or names a sample without annotation.
        ModelError: a score cannot be learned from.
        ScoringError: a sample's marks do not fit the rule.
    """
    name = " and ".join(split)
    wanted = splits.loc[splits["split"].isin(split), "sample_id"]
    if wanted.empty:
        raise SplitError(f"the split table has no sample in {name!r}. Run `dvc repro make_splits`.")
    by_id = annotations.set_index("sample_id")
    unknown = wanted[~wanted.isin(by_id.index)].tolist()
    if unknown:
        raise SplitError(
            f"{len(unknown)} sample(s) of split {name!r} have no annotation: "
            f"{first_few(unknown)}. Run `dvc repro make_splits`."
        )
    rows = by_id.loc[wanted].reset_index()
    sample_ids = rows["sample_id"].tolist()
    marks = [parse_judge_scores(text) for text in rows["judge_scores"]] if with_judges else None
    targets = make_targets(
        final_score=rows["final_score"].tolist(),
        difficulty=rows["difficulty"].tolist(),
        judge_scores=marks,
        scoring_rule=scoring_rule,
        sample_ids=sample_ids,
        action_class=rows["action_class"].fillna("").tolist(),
    )
    return ScoredSamples(sample_ids=sample_ids, targets=targets)
