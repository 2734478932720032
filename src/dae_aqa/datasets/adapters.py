"""The table of datasets: from a section of `params.yaml` to videos and tables.

Every adapter has the same signature. It imports what it needs when it is called, so that one
dataset's packages are no concern of another's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dae_aqa.datasets.fetch import copy_file, short_hash
from dae_aqa.datasets.own_files import user_path
from dae_aqa.datasets.tables import DatasetTables, missing_table, notes_table
from dae_aqa.params import CsvParams, DownloadParams, MtlAqaParams, SimDiveParams
from dae_aqa.progress import Progress


def load_dataset(
    name: str, *, options: Any, download: DownloadParams, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    """Put the videos of dataset `name` into `videos_dir` and return its tables.

    Args:
        name: a key of `ADAPTERS`.
        options: the dataset's section of `params.yaml`.
        download: the section `download`.
        videos_dir: an output of the pipeline; holds `<video_id>.<suffix>` afterwards.
        cache_dir: where the adapter keeps what it fetched or rendered; no output of the pipeline.

    Raises:
        DaeAqaError: as the adapter says; `videos_dir` is then as before.
    """
    return ADAPTERS[name](options, download, videos_dir, cache_dir)


def _simdive(
    options: SimDiveParams, download: DownloadParams, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets import simdive

    names = [field.name for field in dataclasses.fields(simdive.SimDiveOptions)]
    simulated = simdive.SimDiveOptions(**{name: getattr(options, name) for name in names})
    # neither the judges nor the split are in the picture: another choice renders nothing anew
    pictured = dataclasses.replace(simulated, noise_law="monotone", test_fraction=0.5)
    rendered_dir = cache_dir / short_hash(repr(pictured), _source_code(Path(simdive.__file__)))
    with Progress("rendering videos", total=simulated.num_videos, unit="video") as bar:
        annotations, truth = simdive.generate(
            options=simulated,
            videos_dir=rendered_dir,
            num_workers=download.num_workers,
            progress=bar.advance,
        )
    for video_id in sorted(set(annotations["video_id"])):
        copy_file(source=rendered_dir / f"{video_id}.mp4", target=videos_dir / f"{video_id}.mp4")
    return DatasetTables(
        annotations=annotations,
        truth=truth,
        notes=notes_table([]),
        missing_videos=missing_table([]),
    )


def _mtl_aqa(
    options: MtlAqaParams, download: DownloadParams, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets import mtl_aqa

    source = options.annotations_source
    return mtl_aqa.download(
        videos_dir=videos_dir,
        cache_dir=cache_dir,
        annotations_source=source if "://" in source else str(user_path(source)),
        user_videos_dir=user_path(options.videos_dir) if options.videos_dir else None,
        video_list=user_path(options.video_list) if options.video_list else None,
        video_format=options.video_format,
        scoring_rule=options.scoring_rule,
        allow_missing=download.allow_missing,
        num_retries=download.num_retries,
        timeout_seconds=download.timeout_seconds,
    )


def _csv(
    options: CsvParams, download: DownloadParams, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets import csv_table

    return csv_table.import_csv_dataset(
        csv_path=user_path(options.annotations_csv),
        source_videos_dir=user_path(options.videos_dir),
        videos_dir=videos_dir,
        min_score=options.min_score,
        max_score=options.max_score,
        numbering=options.frame_numbering,
        scoring_rule=options.scoring_rule,
    )


def _source_code(package_file: Path) -> str:
    """Return the source of a package: a changed simulator must not reuse its old videos."""
    return "\0".join(path.read_text("utf-8") for path in sorted(package_file.parent.glob("*.py")))


ADAPTERS: dict[str, Callable[[Any, DownloadParams, Path, Path], DatasetTables]] = {
    "simdive": _simdive,
    "mtl_aqa": _mtl_aqa,
    "csv": _csv,
}
