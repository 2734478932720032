"""Answers as text to read, and as rows of a table."""

from __future__ import annotations

from dae_aqa.scorer.score import Score

# of the table; lists are joined by semicolons, what is not known is empty
COLUMNS = (
    *("name", "mu", "sigma", "low_50", "high_50", "low_90", "high_90"),
    *("mu_execution", "sigma_execution", "difficulty", "sigma_aleatoric", "sigma_epistemic"),
    *("marks", "sigma_judges", "start_seconds", "end_seconds"),
    *("unlike_training", "familiarity_percentile", "notes", "error"),
)


def score_lines(score: Score) -> list[str]:
    """Return an answer as lines to read; the first one says it all, the others explain it."""
    low, high = score.interval(0.9)
    lines = [
        f"{score.name}: {score.mu:.2f} ± {score.sigma:.2f} points "
        f"(90 %: {low:.1f} to {high:.1f})"
        + (f", difficulty {score.difficulty:g}" if score.difficulty != 1.0 else "")
    ]
    if score.is_unlike:
        lines.append("  UNLIKE ANYTHING THE MODEL WAS TRAINED ON: the score means little.")
    if score.marks is not None:
        lines.append(f"  marks: {', '.join(f'{mark:.1f}' for mark in score.marks)}")
    if score.sigma_judges is not None:
        lines.append(f"  of the ±, {score.sigma_judges:.2f} comes from judges who differ")
    if score.sigma_epistemic is not None:
        lines.append(
            f"  of the ±, {score.sigma_aleatoric:.2f} is what each model expects, "
            f"{score.sigma_epistemic:.2f} how far they disagree"
        )
    return lines + [f"  note: {note}" for note in score.notes]


def score_row(score: Score) -> dict[str, object]:
    """Return an answer as a row with the columns `COLUMNS`, but for `error`."""
    answer = score.to_dict()
    bounds = {
        f"{side}_{share}": value
        for share, pair in answer["intervals"].items()
        for side, value in zip(("low", "high"), pair, strict=True)
    }
    joined = {
        "marks": ";".join(f"{mark:g}" for mark in answer["marks"] or []),
        "notes": "; ".join(answer["notes"]),
    }
    return {name: (answer | bounds | joined).get(name) for name in COLUMNS[:-1]}
