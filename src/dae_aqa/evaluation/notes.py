"""What a reader of the report should know of the data and of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.heads.base import Head
from dae_aqa.wording import first_few

_IMPORTED = (
    "The model was not trained here: it is the imported checkpoint {}. Of the parameters below, "
    "those of a training had no part in it. It is shown {}."
)
_LEAKED = (
    "{} test sample(s) had a part in training this model, or the weights from which it started. "
    "All figures on this page say too much: compare them with no other."
)


@dataclass(frozen=True)
class ExemplarCounts:
    """How many exemplars a model has for each of its test samples.

    Attributes:
        by: what they have in common with it, see `models.options.ExemplarOptions`.
        num_voters: how many should vote.
        counts: how many there are, by test sample.
    """

    by: str
    num_voters: int
    counts: Mapping[str, int]

    @classmethod
    def of(cls, head: Head, samples: ScoredSamples) -> ExemplarCounts | None:
        """Return those of a head for test samples; None of a head that compares with none."""
        if not isinstance(head, ExemplarHead):
            return None
        targets = samples.targets
        alike = head.alike(targets.difficulty, action_class=targets.action_class)
        by_sample = dict(zip(samples.sample_ids, alike.sum(dim=1).tolist(), strict=True))
        return cls(head.exemplars.by, head.exemplars.num_voters, by_sample)


def note_sentences(
    tables: EvaluationTables,
    *,
    checkpoint: str | None,
    layout: ClipLayout,
    num_leaked: int,
    exemplars: Sequence[ExemplarCounts] = (),
) -> Iterator[str]:
    """Yield a sentence per kind of note, none left out.

    Args:
        tables: of the stages before.
        checkpoint: what was imported; None where the model was trained here.
        layout: of the model's clips.
        num_leaked: test samples that had a part in training.
        exemplars: of each part whose model compares with exemplars.
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
    for each in exemplars:
        yield from _of_exemplars(each)
    yield from _of_another_split(tables)
    yield from _of_scores_and_classes(tables)
    missing = tables.missing_videos["video_id"].tolist()
    if missing:
        yield f"{len(missing)} video(s) could not be had: {', '.join(missing)}."


def _of_exemplars(exemplars: ExemplarCounts) -> Iterator[str]:
    alike = f"exemplars of their {exemplars.by.replace('_', ' ')}"
    few = [name for name, num in exemplars.counts.items() if 0 < num < exemplars.num_voters]
    none = [name for name, num in exemplars.counts.items() if num == 0]
    total = len(exemplars.counts)
    if few:
        yield (
            f"{len(few)} of {total} test samples have fewer than {exemplars.num_voters} {alike}, "
            f"e.g. {few[0]}: those alone vote."
        )
    if none:
        yield (
            f"{len(none)} of {total} test samples have no {alike}, e.g. {none[0]}: those of the "
            "nearest difficulty vote."
        )


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
