"""What a reader of the report should know of the data and of the model."""

from __future__ import annotations

from collections.abc import Iterator

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.wording import first_few

_IMPORTED = (
    "The model was not trained here: it is the imported checkpoint {}. Of the parameters below, "
    "those of a training had no part in it. It is shown {}."
)
_LEAKED = (
    "{} test sample(s) had a part in training this model, or the weights from which it started. "
    "All figures on this page say too much: compare them with no other."
)


def note_sentences(
    tables: EvaluationTables, *, checkpoint: str | None, layout: ClipLayout, num_leaked: int
) -> Iterator[str]:
    """Yield a sentence per kind of note, none left out.

    Args:
        tables: of the stages before.
        checkpoint: what was imported; None where the model was trained here.
        layout: of the model's clips.
        num_leaked: test samples that had a part in training.
    """
    if num_leaked:
        yield _LEAKED.format(num_leaked)
    if checkpoint is not None:
        clips = (
            f"{len(layout.starts)} clip(s) of {layout.num_frames} frames at {layout.size_px} px, "
            f"which reach over {layout.reach} frames of a sample"
        )
        yield _IMPORTED.format(checkpoint, clips)
    for kind, rows in tables.notes.groupby("kind"):
        sample_id, detail = rows[["sample_id", "detail"]].iloc[0]
        words = str(kind).replace("_", " ")
        yield f"{words}: {len(rows)} sample(s), e.g. {sample_id}: {detail}"
    extracted = tables.extraction_notes
    if not extracted.empty:
        first = extracted.iloc[0]
        named = first["sample_id"] or first["video_id"]
        yield f"extraction: {len(extracted)} note(s), e.g. {named}: {first['note']}"
    yield from _of_another_split(tables)
    yield from _of_scores_and_classes(tables)
    missing = tables.missing_videos["video_id"].tolist()
    if missing:
        yield f"{len(missing)} video(s) could not be had: {', '.join(missing)}."


def _of_another_split(tables: EvaluationTables) -> Iterator[str]:
    annotations, splits = tables.annotations, tables.splits
    own_test = annotations.loc[annotations["split"] == "test", "sample_id"]
    tested = splits.loc[splits["split"] == "test", "sample_id"]
    elsewhere = own_test.isin(splits["sample_id"]) & ~own_test.isin(tested)
    if elsewhere.any():
        yield (
            f"{elsewhere.sum()} of the dataset's own {len(own_test)} test samples trained or "
            "validated here, since make_splits.source is random: compare with no published figure."
        )


def _of_scores_and_classes(tables: EvaluationTables) -> Iterator[str]:
    """Yield what a dataset cannot teach or tell: equal scores, and classes of one sample."""
    rows = tables.splits.merge(tables.annotations[["sample_id", "final_score"]], on="sample_id")
    for (part, split), scores in rows.groupby(["part", "split"])["final_score"]:
        if len(scores) > 1 and scores.nunique() == 1:
            where = f"{split} samples{f' of {part}' if part else ''}"
            yield f"all {len(scores)} {where} have the score {scores.iloc[0]:g}."
    classes = tables.annotations["action_class"]
    counts = classes[classes != ""].value_counts()
    alone = sorted(counts.index[counts == 1])
    if alone:
        yield (
            f"{len(alone)} of {len(counts)} action classes have one sample: {first_few(alone)}. "
            "Where it is tested, the model has seen no other of its class."
        )
