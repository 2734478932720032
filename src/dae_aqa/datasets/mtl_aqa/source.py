"""Where the MTL-AQA release comes from: a folder, or the web, fetched once and kept."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from filelock import FileLock

from dae_aqa.datasets.fetch import extract_members, fetch_file
from dae_aqa.datasets.mtl_aqa.layout import DICTIONARY, SPLITS, VIDEO_LIST, workbook
from dae_aqa.datasets.mtl_aqa.release import read_video_numbers
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.errors import AnnotationError
from dae_aqa.files.hashing import short_hash
from dae_aqa.files.whole import remove_leftovers, written_whole
from dae_aqa.running.places import user_path

_FIRST_FILES = (DICTIONARY, *SPLITS.values(), VIDEO_LIST)

logger = logging.getLogger(__name__)


def locate_release(source: str, *, cache_dir: Path, download: DownloadOptions) -> Path:
    """Return the folder of the release, fetching it into `cache_dir` if it comes from the web.

    Args:
        source: a local folder laid out as published; or the address of such a folder, whose files
            are fetched one by one; or the address of a .zip archive that holds it.
        cache_dir: where what was fetched is kept, one folder per address.
        download: how files are fetched.

    Raises:
        AnnotationError: there is no such folder.
        DownloadError: the release cannot be fetched.
    """
    if "://" not in source:
        folder = user_path(source)
        if not folder.is_dir():
            raise AnnotationError(
                f"datasets.mtl_aqa.annotations_source: no folder {str(folder)!r}. Give the folder "
                "that holds Ready_2_Use and Raw_Annotations, or the address it is published at."
            )
        return folder
    folder = cache_dir / f"release-{short_hash(source)}"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            logger.info("fetching the MTL-AQA annotations from %s", source)
            remove_leftovers(cache_dir)
            with written_whole(folder) as part:
                _fetch_release(source, part, download)
    return folder


def _fetch_release(address: str, folder: Path, download: DownloadOptions) -> None:
    """Write the files of the release below `folder`."""
    fetch = partial(
        fetch_file, num_retries=download.num_retries, timeout_seconds=download.timeout_seconds
    )
    if address.lower().endswith(".zip"):
        archive = folder / "release.zip"
        fetch(address=address, path=archive)
        extract_members(archive=archive, names=_FIRST_FILES, folder=folder)
        extract_members(archive=archive, names=(DICTIONARY, *_workbooks(folder)), folder=folder)
        archive.unlink()
        return
    base = address.rstrip("/")
    for name in _FIRST_FILES:
        fetch(address=f"{base}/{name}", path=folder / name)
    for name in _workbooks(folder):  # the dictionary says which there are
        fetch(address=f"{base}/{name}", path=folder / name)


def _workbooks(folder: Path) -> list[str]:
    numbers = read_video_numbers(release_dir=folder)
    return [workbook(number) for number in numbers]
