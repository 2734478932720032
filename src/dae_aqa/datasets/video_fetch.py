"""Videos from the web by yt-dlp: one file per address, kept in a cache, resumed after a break."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock
from tqdm import tqdm

from dae_aqa.datasets.fetch import check_address
from dae_aqa.errors import DownloadError
from dae_aqa.files.hashing import short_hash
from dae_aqa.running.retries import doubling_pauses, with_retries
from dae_aqa.video.probe import VIDEO_SUFFIXES

_YOUTUBE_HOSTS = ("youtube.com", "youtu.be")

logger = logging.getLogger(__name__)


class UnreachableError(DownloadError):
    """The host of a video does not answer at all, so that its other videos need no try."""


class VideoCache:
    """Videos fetched once and kept, one file per address and format.

    Nothing here is an output of the pipeline, so that DVC never deletes it. An interrupted download
    leaves a partial file from which the next one goes on.
    """

    def __init__(
        self, *, folder: Path, video_format: str, num_retries: int, timeout_seconds: float
    ) -> None:
        """Use `folder` as the cache.

        Args:
            folder: where the videos lie; made when needed.
            video_format: yt-dlp's format selection.
            num_retries: further tries after a lost connection.
            timeout_seconds: longest silence of a server.
        """
        self.folder = folder
        self._partial = folder / "partial"
        self._video_format = video_format
        self._num_retries = num_retries
        self._timeout_seconds = timeout_seconds

    def find(self, *, video_id: str, address: str) -> Path | None:
        """Return the cached video of `address`, or None."""
        return _video_named(self.folder, self._name(video_id, address))

    def fetch(self, *, video_id: str, address: str) -> Path:
        """Return the cached video of `address`, downloading it if need be.

        Args:
            video_id: letters and digits; begins the name of the file.
            address: http(s) address of a page or a file with exactly one video.

        Raises:
            UnreachableError: the host does not answer.
            DownloadError: there is no such video, or it is private, or the download broke off.
        """
        check_address(address)
        name = self._name(video_id, address)
        with FileLock(self._partial / f"{name}.lock"):
            cached = _video_named(self.folder, name)
            if cached is not None:
                return cached
            partial = self._try_download(address, name=name, label=f"video {video_id}")
            target = self.folder / f"{name}{partial.suffix.lower()}"
            return partial.replace(target)

    def _name(self, video_id: str, address: str) -> str:
        return f"{video_id}-{short_hash(address, self._video_format)}"

    def _try_download(self, address: str, *, name: str, label: str) -> Path:
        """Download; yt-dlp itself tries again once it has found the video, but not before."""
        return with_retries(
            lambda: self._download(address, name=name, label=label),
            pauses_seconds=doubling_pauses(self._num_retries),
            is_passing=lambda error: isinstance(error, UnreachableError),
            report=lambda error: logger.info("%s; trying again", error),
        )

    def _download(self, address: str, *, name: str, label: str) -> Path:
        """Download to the folder of partial files, and return the whole file."""
        import yt_dlp  # slow to import, and used by few
        from yt_dlp.networking.exceptions import HTTPError, TransportError

        stage = "look-up"
        with tqdm(desc=label, unit="B", unit_scale=True, disable=None) as bar:
            options = self._options(address, name=name, bar=bar)
            try:
                with yt_dlp.YoutubeDL(options) as client:
                    info = client.extract_info(address, download=False)
                    _check_single_video(info, address=address)
                    stage = "download"
                    info = client.process_ie_result(info, download=True)
            except yt_dlp.utils.YoutubeDLError as error:
                lost = any(
                    isinstance(cause, TransportError) and not isinstance(cause, HTTPError)
                    for cause in _causes(error)
                )
                kind = UnreachableError if lost and stage == "look-up" else DownloadError
                raise kind(f"{address}: {_plain_message(error)}") from error
            except OSError as error:
                raise DownloadError(f"{self._partial}: cannot be written ({error}).") from error
        path = _video_named(self._partial, name)
        if path is None:
            raise DownloadError(f"{address}: yt-dlp left no video file in {self._partial}.")
        return path

    def _options(self, address: str, *, name: str, bar: Any) -> dict[str, Any]:
        def show(state: Mapping[str, Any]) -> None:
            bar.total = state.get("total_bytes") or state.get("total_bytes_estimate")
            bar.update(max(0, (state.get("downloaded_bytes") or 0) - bar.n))

        return {
            "format": self._video_format,
            "paths": {"home": str(self._partial)},
            "outtmpl": {"default": f"{name}.%(ext)s"},
            "noplaylist": True,
            "playlist_items": "1",
            "retries": self._num_retries,
            "fragment_retries": self._num_retries,
            "extractor_retries": self._num_retries,
            "socket_timeout": self._timeout_seconds,
            "skip_unavailable_fragments": False,  # a hole would shift all later frame numbers
            "fixup": "never",  # frames must stay as they were published
            "updatetime": False,
            "cachedir": False,
            "quiet": True,
            "noprogress": True,
            "logger": _DebugLog(),
            "progress_hooks": [show],
            "js_runtimes": {name: {} for name in find_js_runtimes()} if is_youtube(address) else {},
        }


def find_js_runtimes() -> list[str]:
    """Return the JavaScript runtimes on this machine that yt-dlp can use, e.g. `['node']`."""
    import yt_dlp  # noqa: F401 - fills the table of runtimes
    from yt_dlp.globals import supported_js_runtimes

    found = {name: runtime().info for name, runtime in supported_js_runtimes.value.items()}
    return sorted(name for name, info in found.items() if info is not None and info.supported)


def youtube_support() -> str:
    """Return what yt-dlp lacks for full YouTube support and how to get it, '' where nothing."""
    lacking = []
    if not find_js_runtimes():
        lacking.append("a JavaScript runtime (install Deno, https://deno.com, or Node.js >= 22)")
    if importlib.util.find_spec("yt_dlp_ejs") is None:
        lacking.append("its challenge solver (`uv pip install yt-dlp-ejs`)")
    if not lacking:
        return ""
    return f"For full YouTube support yt-dlp also needs {' and '.join(lacking)}."


def is_youtube(address: str) -> bool:
    """Return whether `address` lies on YouTube."""
    host = host_of(address)
    return any(host == name or host.endswith(f".{name}") for name in _YOUTUBE_HOSTS)


def host_of(address: str) -> str:
    """Return the host of a checked address, with its port if it names one."""
    return urlsplit(address).netloc.rpartition("@")[2].lower()


def _video_named(folder: Path, stem: str) -> Path | None:
    """Return the video file `stem` with any suffix of `VIDEO_SUFFIXES` in `folder`, or None."""
    paths = (folder / f"{stem}{suffix}" for suffix in VIDEO_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _check_single_video(info: Mapping[str, Any], *, address: str) -> None:
    if info.get("_type", "video") != "video":
        raise DownloadError(f"{address}: expected one video, got a {info['_type']}.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and every exception that yt-dlp wrapped into it, from the outside in."""
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        exc_info = getattr(inner, "exc_info", None)
        wrapped = (exc_info[1] if exc_info else None) or getattr(inner, "cause", None)
        inner = None if wrapped is inner else wrapped


def _plain_message(error: Exception) -> str:
    """Return yt-dlp's message without its prefix, its traces and its hint at the command line."""
    message = str(error).removeprefix("ERROR: ")
    return message.split("; please report", 1)[0].split(" (caused by", 1)[0].strip()


class _DebugLog:
    """Takes yt-dlp's output into the log's lowest level; its errors are raised anyway."""

    def debug(self, message: str) -> None:
        logger.debug("yt-dlp: %s", message)

    info = warning = error = debug
