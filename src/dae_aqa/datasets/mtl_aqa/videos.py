"""The broadcasts of MTL-AQA: the user's own files first, then the cache, then the web."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from dae_aqa.datasets.fetch import check_address
from dae_aqa.datasets.mtl_aqa.layout import video_id
from dae_aqa.datasets.mtl_aqa.workbooks import read_video_list
from dae_aqa.datasets.video_fetch import (
    UnreachableError,
    VideoCache,
    host_of,
    is_youtube,
    youtube_support,
)
from dae_aqa.errors import AnnotationError, DownloadError
from dae_aqa.tables.dataset import MissingVideo
from dae_aqa.video.probe import VIDEO_SUFFIXES
from dae_aqa.wording import first_lines

_MAX_ROWS_SHOWN = 50
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundVideos:
    """Where each broadcast lies, by number, and which could not be had."""

    paths: Mapping[int, Path]
    missing: tuple[MissingVideo, ...]


def read_addresses(*, video_list: Path) -> dict[int, str]:
    """Return the address of each broadcast by its number.

    Args:
        video_list: the release's `Video_List.xlsx`, or a .csv file with the columns `video_id` (the
            number) and `url`.

    Raises:
        AnnotationError: the file is missing or is neither; every bad row of a .csv is named.
    """
    if video_list.suffix.lower() != ".csv":
        return read_video_list(video_list)
    try:
        with video_list.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{video_list}: not a readable list of videos ({error}).") from error
    if list(header) != ["video_id", "url"]:
        raise AnnotationError(
            f"{video_list}, line 1: expected the columns video_id,url, got {','.join(header)}."
        )
    addresses, problems = {}, []
    for line, row in rows:
        number, address = row["video_id"], row["url"]
        try:
            addresses[int(number)] = check_address(address or "")
        except (ValueError, TypeError):
            problems.append(f"line {line}: expected a video number, got {number!r}")
        except DownloadError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        lines = first_lines(problems, limit=_MAX_ROWS_SHOWN)
        raise AnnotationError(f"{video_list}: {len(problems)} bad row(s):\n{lines}")
    return addresses


def find_videos(
    *,
    num_samples: Mapping[int, int],
    addresses: Mapping[int, str],
    user_videos_dir: Path | None,
    cache: VideoCache,
) -> FoundVideos:
    """Find every broadcast, downloading those that are neither in the user's folder nor cached.

    A video that cannot be had is noted, and the next one is tried. Where a host does not answer,
    its other videos are not tried.

    Args:
        num_samples: number of samples of each broadcast, by its number.
        addresses: address of each broadcast; some may be missing.
        user_videos_dir: the user's own videos, named by number (`01.mp4`, `1.mkv`, …).
        cache: where downloads are kept.

    Raises:
        DownloadError: `user_videos_dir` is given and is no folder.
    """
    own = {} if user_videos_dir is None else _own_videos(user_videos_dir)
    _announce(addresses, needed=num_samples.keys() - own.keys(), cache=cache)
    paths: dict[int, Path] = {}
    missing: list[MissingVideo] = []
    silent_hosts: set[str] = set()
    for number in sorted(num_samples):
        address = addresses.get(number, "")
        try:
            paths[number] = _find_video(
                number, own=own.get(number, []), address=address, cache=cache, silent=silent_hosts
            )
        except DownloadError as error:
            reason = str(error).removeprefix(f"{address}: ")
            if isinstance(error, UnreachableError):
                silent_hosts.add(host_of(address))
            logger.info("video %s is missing: %s", video_id(number), reason)
            missing.append(MissingVideo(video_id(number), num_samples[number], address, reason))
    return FoundVideos(paths=paths, missing=tuple(missing))


def _find_video(
    number: int, *, own: list[Path], address: str, cache: VideoCache, silent: Set[str]
) -> Path:
    """Return one broadcast's file, from the user's folder, the cache or the web.

    Raises:
        DownloadError: it cannot be had.
    """
    if len(own) > 1:
        names = ", ".join(path.name for path in own)
        raise DownloadError(f"{names} all stand for this video; leave one of them in the folder")
    if own:
        return own[0]
    if not address:
        raise DownloadError("no file of your own, and no address to download it from")
    cached = cache.find(video_id=video_id(number), address=address)
    if cached is not None:
        return cached
    if host_of(check_address(address)) in silent:
        raise DownloadError(f"{host_of(address)} does not answer, as seen with an earlier video")
    return cache.fetch(video_id=video_id(number), address=address)


def _own_videos(folder: Path) -> dict[int, list[Path]]:
    """Return the video files in `folder` by the number that is their name."""
    if not folder.is_dir():
        raise DownloadError(
            f"datasets.mtl_aqa.videos_dir: no folder {str(folder)!r}. Give the folder that holds "
            "your videos, named by video number (01.mp4, 26.mkv, …), or null to download them."
        )
    videos: dict[int, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        is_number = path.stem.isascii() and path.stem.isdigit()
        if is_number and path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            videos.setdefault(int(path.stem), []).append(path)
    return videos


def _announce(addresses: Mapping[int, str], *, needed: set[int], cache: VideoCache) -> None:
    """Log what will be fetched, and what yt-dlp lacks for it, before the first download starts."""
    to_fetch = [
        address
        for number, address in addresses.items()
        if number in needed and cache.find(video_id=video_id(number), address=address) is None
    ]
    if to_fetch:
        logger.info("downloading %d videos into %s", len(to_fetch), cache.folder)
    if any(is_youtube(address) for address in to_fetch) and youtube_support():
        logger.warning(youtube_support())
