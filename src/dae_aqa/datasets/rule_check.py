"""Official final scores against what the judges' marks give: counted and noted, never corrected."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dae_aqa import scoring
from dae_aqa.tables.annotations import parse_judge_scores
from dae_aqa.tables.dataset import Note

_EQUAL = 1e-6


def rule_notes(annotations: pd.DataFrame, *, rule: str) -> list[Note]:
    """Return one note for each sample whose final score is not exactly what `rule` gives.

    Samples without marks are left out. `score_differs_from_rule` is a difference beyond
    `scoring.OFFICIAL_TOLERANCE`; `score_rounded` one within it.

    Args:
        annotations: annotations table.
        rule: name in `scoring.SCORING_RULES`.

    Raises:
        ScoringError: marks do not fit the rule; the first such sample is named.
    """
    return list(_rule_notes(annotations, rule=rule))


def _rule_notes(annotations: pd.DataFrame, *, rule: str) -> Iterator[Note]:
    marked = annotations[annotations["judge_scores"] != ""]
    columns = ("sample_id", "judge_scores", "difficulty", "final_score")
    for sample_id, marks, difficulty, official in marked[list(columns)].itertuples(index=False):
        execution = scoring.execution_score(
            parse_judge_scores(marks), rule=rule, sample_ids=[sample_id]
        )
        expected = float(scoring.final_score(execution=execution, difficulty=difficulty))
        difference = abs(float(official) - expected)
        if difference <= _EQUAL:
            continue
        rounded = difference <= scoring.OFFICIAL_TOLERANCE + _EQUAL
        yield Note(
            sample_id=sample_id,
            kind="score_rounded" if rounded else "score_differs_from_rule",
            detail=(
                f"official final score {official:g}; the marks {marks} give {expected:g} "
                f"with difficulty {difficulty:g}; the official one is kept"
            ),
        )
