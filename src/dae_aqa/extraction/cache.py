"""Finished work that outlives a run: packed samples, indexes and content hashes of videos.

DVC deletes a stage's outputs before it runs the stage. An entry here stays, under a name made from
all that determines its content, and is checked before it is used. A kill leaves none half-written.
The folder may be deleted at any time.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from dae_aqa.errors import FrameStoreError
from dae_aqa.files.hashing import file_sha256, value_sha256
from dae_aqa.files.whole import remove_leftovers, write_error, written_whole
from dae_aqa.packs.store import PackedSample
from dae_aqa.video.index import INDEX_VERSION, VideoIndex
from dae_aqa.video.indexing import build_index

logger = logging.getLogger(__name__)


class WorkCache:
    """The cache folder. Safe to share between processes: entries are immutable once they appear."""

    def __init__(self, folder: Path) -> None:
        self._samples = folder / "samples"
        self._videos = folder / "videos"
        try:
            for path in (self._samples, self._videos):
                path.mkdir(parents=True, exist_ok=True)
                remove_leftovers(path)
        except OSError as error:
            raise write_error(folder, error) from error

    def sample_path(self, key: str) -> Path:
        """Return where the packed sample of `key` lies or will lie."""
        return self._samples / f"{key}.zip"

    def find_sample(self, key: str) -> Path | None:
        """Return the packed sample of `key`, or None where there is none or it is damaged."""
        path = self.sample_path(key)
        if not path.is_file():
            return None
        try:
            with PackedSample.open(path) as sample:
                sample.verify()
        except FrameStoreError as error:
            logger.warning("redoing a damaged cache entry: %s", error)
            path.unlink(missing_ok=True)
            return None
        return path

    def video_sha256(self, path: Path) -> str:
        """Return the SHA-256 of the video's bytes, remembered by name, size and time of change."""
        stat = path.stat()
        key = value_sha256(
            [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        )
        note = self._videos / f"{key}.sha256"
        with suppress(OSError):
            text = note.read_text()
            if len(text) == 64:
                return text
        digest = file_sha256(path)
        _write(note, digest.encode())
        return digest

    def index(self, path: Path, sha256: str) -> VideoIndex:
        """Return the index of the video at `path` whose content hash is `sha256`.

        Raises:
            VideoError: the video is unreadable.
        """
        entry = self._videos / f"{sha256}.v{INDEX_VERSION}.index.json"
        if entry.is_file():
            try:
                return VideoIndex.from_json(entry.read_bytes())
            except (OSError, ValueError) as error:
                logger.warning("redoing a damaged index (%s): %s", entry, error)
        index = build_index(path)
        _write(entry, index.to_json())
        return index


def _write(path: Path, data: bytes) -> None:
    try:
        with written_whole(path, synced=True) as part:
            part.write_bytes(data)
    except OSError as error:
        raise write_error(path, error) from error
