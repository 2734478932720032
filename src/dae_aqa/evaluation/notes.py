"""What a reader of the report should know of the data and of the model."""

from __future__ import annotations

from collections.abc import Iterator

from dae_aqa.evaluation.tables import EvaluationTables

_IMPORTED = (
    "The model was not trained here: it is the imported checkpoint {}. Of the parameters below, "
    "those of a training had no part in it; how its clips are made comes from train.clips."
)


def note_sentences(tables: EvaluationTables, *, checkpoint: str | None) -> list[str]:
    """Return a sentence per kind of note, none left out; `checkpoint` is what was imported."""
    imported = [] if checkpoint is None else [_IMPORTED.format(checkpoint)]
    return [
        *imported,
        *_of_the_adapter(tables),
        *_of_the_extraction(tables),
        *_of_the_split(tables),
        *_of_missing_videos(tables),
    ]


def _of_the_adapter(tables: EvaluationTables) -> Iterator[str]:
    for kind, rows in tables.notes.groupby("kind"):
        first = rows.iloc[0]
        yield (
            f"{str(kind).replace('_', ' ')}: {len(rows)} sample(s), e.g. {first['sample_id']}: "
            f"{first['detail']}"
        )


def _of_the_extraction(tables: EvaluationTables) -> Iterator[str]:
    notes = tables.extraction_notes
    if not notes.empty:
        first = notes.iloc[0]
        named = first["sample_id"] or first["video_id"]
        yield f"extraction: {len(notes)} note(s), e.g. {named}: {first['note']}"


def _of_the_split(tables: EvaluationTables) -> Iterator[str]:
    annotations, splits = tables.annotations, tables.splits
    own_test = annotations.loc[annotations["split"] == "test", "sample_id"]
    tested = splits.loc[splits["split"] == "test", "sample_id"]
    elsewhere = own_test.isin(splits["sample_id"]) & ~own_test.isin(tested)
    if elsewhere.any():
        yield (
            f"{elsewhere.sum()} of the dataset's own {len(own_test)} test samples trained or "
            "validated here, since make_splits.source is random: compare with no published figure."
        )


def _of_missing_videos(tables: EvaluationTables) -> Iterator[str]:
    missing = tables.missing_videos["video_id"].tolist()
    if missing:
        yield f"{len(missing)} video(s) could not be had: {', '.join(missing)}."
