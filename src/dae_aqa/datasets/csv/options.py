"""The section `datasets.csv`."""

from __future__ import annotations

from collections.abc import Iterator

from dae_aqa.datasets.options import HeldDatasetOptions, held_somehow
from dae_aqa.options import UserPath


def _scores_have_a_range(options: CsvOptions) -> Iterator[str]:
    if options.min_score >= options.max_score:
        yield (
            f"min_score: {options.min_score:g} is not below datasets.csv.max_score "
            f"({options.max_score:g})."
        )


class CsvOptions(HeldDatasetOptions):
    """Where the user's table and videos lie, and which scores there can be.

    Attributes:
        annotations_csv: the table.
        videos_dir: folder that holds the files of its column `video`, or None.
        frames_dir: folder that holds folders of images, which the column `video` then names, or
            None.
        min_score: lowest score that is allowed.
        max_score: highest score that is allowed.
    """

    RULES = (_scores_have_a_range, held_somehow)

    annotations_csv: UserPath
    videos_dir: UserPath | None
    min_score: float
    max_score: float
