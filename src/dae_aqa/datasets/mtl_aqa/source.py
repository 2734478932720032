"""Where the MTL-AQA release comes from: a folder, or the web, fetched once and kept."""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock

from dae_aqa.datasets.fetch import extract_members, fetch_file, short_hash
from dae_aqa.datasets.mtl_aqa.layout import DICTIONARY, SPLITS, VIDEO_LIST, workbook
from dae_aqa.datasets.mtl_aqa.release import read_video_numbers
from dae_aqa.errors import AnnotationError
from dae_aqa.files.whole import remove_leftovers, written_whole

_FIRST_FILES = (DICTIONARY, *SPLITS.values(), VIDEO_LIST)

_logger = logging.getLogger(__name__)


def locate_release(
    *, annotations_source: str, cache_dir: Path, num_retries: int, timeout_seconds: float
) -> Path:
    """Return the folder of the release, fetching it into `cache_dir` if it comes from the web.

    Args:
        annotations_source: a local folder laid out as published; or the address of such a folder,
            whose files are fetched one by one; or the address of a .zip archive that holds it.
        cache_dir: where what was fetched is kept, one folder per address.
        num_retries: further tries per file after a lost connection.
        timeout_seconds: longest silence of the server.

    Raises:
        AnnotationError: there is no such folder.
        DownloadError: the release cannot be fetched.
    """
    if "://" not in annotations_source:
        folder = Path(annotations_source)
        if not folder.is_dir():
            raise AnnotationError(
                f"datasets.mtl_aqa.annotations_source: no folder {annotations_source!r}. Give the "
                "folder that holds Ready_2_Use and Raw_Annotations, or the address it is published "
                "at."
            )
        return folder
    folder = cache_dir / f"release-{short_hash(annotations_source)}"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            _logger.info("fetching the MTL-AQA annotations from %s", annotations_source)
            remove_leftovers(cache_dir)
            with written_whole(folder) as part:
                _fetch_release(
                    annotations_source,
                    part,
                    num_retries=num_retries,
                    timeout_seconds=timeout_seconds,
                )
    return folder


def _fetch_release(address: str, folder: Path, *, num_retries: int, timeout_seconds: float) -> None:
    """Write the files of the release below `folder`."""
    if address.lower().endswith(".zip"):
        archive = folder / "release.zip"
        fetch_file(
            address=address,
            path=archive,
            num_retries=num_retries,
            timeout_seconds=timeout_seconds,
        )
        extract_members(archive=archive, names=_FIRST_FILES, folder=folder)
        extract_members(archive=archive, names=(DICTIONARY, *_workbooks(folder)), folder=folder)
        archive.unlink()
        return
    # the dictionary says which workbooks there are
    for name in _FIRST_FILES:
        _fetch_one(address, name, folder, num_retries=num_retries, timeout_seconds=timeout_seconds)
    for name in _workbooks(folder):
        _fetch_one(address, name, folder, num_retries=num_retries, timeout_seconds=timeout_seconds)


def _fetch_one(
    address: str, name: str, folder: Path, *, num_retries: int, timeout_seconds: float
) -> None:
    fetch_file(
        address=f"{address.rstrip('/')}/{name}",
        path=folder / name,
        num_retries=num_retries,
        timeout_seconds=timeout_seconds,
    )


def _workbooks(folder: Path) -> list[str]:
    numbers = read_video_numbers(release_dir=folder)
    return [workbook(number) for number in numbers]
