"""Which files of the user's a dataset reads."""

from __future__ import annotations

from pathlib import Path

from dae_aqa.datasets.csv_file import read_rows
from dae_aqa.frames.probe import VIDEO_SUFFIXES
from dae_aqa.params import CsvParams, MtlAqaParams, SimDiveParams
from dae_aqa.runtime import project_root


def user_path(text: str) -> Path:
    """Return a path that the user gave; relative ones start at the real repository root.

    A queued experiment runs in a copy of the repository, where the user's own files are not.
    """
    return project_root() / Path(text).expanduser()


def own_files(options: SimDiveParams | MtlAqaParams | CsvParams) -> list[Path]:
    """Return the user's files that the chosen dataset reads: tables, videos, a local release.

    Raises:
        AnnotationError: the user's table of samples cannot be read.
    """
    match options:
        case CsvParams():
            table, folder = user_path(options.annotations_csv), user_path(options.videos_dir)
            return [
                table,
                *(folder / name for name in {r.cells["video"] for r in read_rows(table)}),
            ]
        case MtlAqaParams():
            return _mtl_aqa_files(options)
        case _:
            return []


def _mtl_aqa_files(options: MtlAqaParams) -> list[Path]:
    files = [] if options.video_list is None else [user_path(options.video_list)]
    if "://" not in options.annotations_source:
        files += user_path(options.annotations_source).rglob("*")
    if options.videos_dir is not None:
        folder = user_path(options.videos_dir)
        files += [path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES]
    return [path for path in files if path.is_file()]
