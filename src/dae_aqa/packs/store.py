"""The frame store: one packed file per sample, a stored (uncompressed) zip of numbered images.

`unzip -l sample.zip` lists it and every image viewer opens what it holds. Equal content gives equal
bytes: entry order, times and attributes are fixed. A file appears whole or not at all, after it has
been read back and compared with its checksums.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType

from dae_aqa.errors import FrameStoreError
from dae_aqa.files.whole import write_error, written_whole
from dae_aqa.packs.options import Window

FORMAT_VERSION = 1
META_NAME = "meta.json"
IMAGE_SUFFIXES = {"jpeg": ".jpg", "png": ".png"}

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # Source: PKWARE APPNOTE 6.3.10, section 4.3.7
_LOCAL_SIGNATURE = b"PK\x03\x04"
_MAX_META_BYTES = 64 << 20
_Entry = tuple[int, str, int, int]  # header offset, name, size in bytes, CRC-32
_REMAKE = "Delete it and run the extraction again; finished samples are kept."


@dataclass(frozen=True, kw_only=True)
class SampleMeta:
    """What a packed sample says of itself (`meta.json` in the file).

    Image `i` shows frame `frame_numbers[i]`, in the dataset's numbering. The nominal window is the
    `window_length` images from `window_offset` on. The images around it are the margin, which a
    temporal shift in training may use.
    """

    sample_id: str
    video_id: str
    video_sha256: str
    numbering: str
    window: Window
    frame_numbers: tuple[int, ...]
    window_offset: int
    window_length: int
    num_repeated_before: int  # images at the start that repeat the first frame of the video
    num_repeated_after: int  # images at the end that repeat the last frame of the video
    width: int
    height: int
    image_format: str
    format_version: int = FORMAT_VERSION

    @property
    def num_frames(self) -> int:
        """Number of images in the file, margins included."""
        return len(self.frame_numbers)

    def to_json(self) -> bytes:
        """Return the bytes of `meta.json`, equal for equal content."""
        return (json.dumps(asdict(self), sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> SampleMeta:
        """Return what `to_json` wrote.

        Raises:
            ValueError: the bytes are no JSON, or fields are missing, unknown or inconsistent.
        """
        raw = json.loads(data)
        names = {field.name for field in fields(cls)}
        if not isinstance(raw, dict) or set(raw) != names:
            raise ValueError(f"its fields are not {', '.join(sorted(names))}")
        if raw["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"it has format version {raw['format_version']!r}, expected {FORMAT_VERSION}"
            )
        raw["frame_numbers"] = tuple(int(number) for number in raw["frame_numbers"])
        meta = cls(**raw)
        inside = 0 <= meta.window_offset <= meta.num_frames - meta.window_length
        if not inside or meta.window_length < 1 or meta.image_format not in IMAGE_SUFFIXES:
            raise ValueError("its window or its image format does not fit its frames")
        return meta


class PackedSample:
    """A packed sample opened for reading; random access to single images, each checked by CRC-32.

    Reads go through `os.pread`, so one object may be used by several threads.
    """

    def __init__(self, *, path: Path, file_descriptor: int) -> None:
        self.path = path
        self._fd = file_descriptor  # owned from here on
        self._entries: list[_Entry] = []
        self.meta: SampleMeta

    @classmethod
    def open(cls, path: Path) -> PackedSample:
        """Open the packed sample at `path` and check its layout (not yet the images' checksums).

        Raises:
            FrameStoreError: the file is missing, damaged or of another layout.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise FrameStoreError(
                f"{path}: cannot open the packed sample ({error.strerror}). "
                "Run the extract_frames stage."
            ) from error
        sample = cls(path=path, file_descriptor=descriptor)
        try:
            first, *sample._entries = _read_directory(path)
            sample.meta = SampleMeta.from_json(sample._read_entry(first))
            sample._check_names()
        except (ValueError, KeyError, TypeError, struct.error, zipfile.BadZipFile) as error:
            sample.close()
            raise FrameStoreError(f"{path}: damaged packed sample: {error}. {_REMAKE}") from error
        except BaseException:
            sample.close()
            raise
        return sample

    def read(self, indices: Sequence[int]) -> list[bytes]:
        """Return the encoded images at `indices` (0 ≤ index < `meta.num_frames`), in that order.

        Raises:
            FrameStoreError: an image is damaged, or an index is out of range.
        """
        num_frames = self.meta.num_frames
        for index in indices:
            if not 0 <= index < num_frames:
                raise FrameStoreError(
                    f"{self.path}: no image {index}; it holds 0 to {num_frames - 1}."
                )
        return [self._read_entry(self._entries[index]) for index in indices]

    def verify(self) -> None:
        """Read all images and compare their checksums.

        Raises:
            FrameStoreError: an image is damaged.
        """
        for entry in self._entries:
            self._read_entry(entry)

    def close(self) -> None:
        """Close the file. Further reads fail."""
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> PackedSample:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _read_entry(self, entry: _Entry) -> bytes:
        offset, name, size, checksum = entry
        header_size = _LOCAL_HEADER.size + len(name)
        try:
            block = os.pread(self._fd, header_size + size, offset)
        except OSError as error:
            raise FrameStoreError(f"{self.path}: cannot read {name}: {error.strerror}.") from error
        data = block[header_size:]
        if (
            len(data) != size
            or block[:4] != _LOCAL_SIGNATURE
            or block[_LOCAL_HEADER.size : header_size] != name.encode()
            or zlib.crc32(data) != checksum
        ):
            raise FrameStoreError(f"{self.path}: {name} is damaged (CRC-32 differs). {_REMAKE}")
        return data

    def _check_names(self) -> None:
        suffix = IMAGE_SUFFIXES[self.meta.image_format]
        expected = [f"{index:06d}{suffix}" for index in range(self.meta.num_frames)]
        names = [name for _, name, _, _ in self._entries]
        if names != expected:
            raise ValueError(
                f"it holds {len(names)} images, expected {len(expected)}, {expected[0]} on"
            )


def write_packed_sample(path: Path, *, meta: SampleMeta, images: Sequence[bytes]) -> None:
    """Write one packed sample and check it before it appears at `path`.

    Args:
        path: the file; one that stands there is replaced.
        meta: what the file says of itself.
        images: one encoded image per entry of `meta.frame_numbers`.

    Raises:
        FrameStoreError: the number of images is wrong, or the disk has garbled the file.
        OutputError: the disk is full or cannot be written.
    """
    if len(images) != meta.num_frames:
        raise FrameStoreError(
            f"{path}: sample {meta.sample_id!r} needs {meta.num_frames} images, got {len(images)}."
        )
    suffix = IMAGE_SUFFIXES[meta.image_format]
    try:
        with (
            written_whole(path, synced=True, last_step=_verify) as part,
            zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive,
        ):
            archive.writestr(_entry(META_NAME), meta.to_json())
            for index, image in enumerate(images):
                archive.writestr(_entry(f"{index:06d}{suffix}"), image)
    except OSError as error:
        raise write_error(path, error) from error


def _verify(path: Path) -> None:
    with PackedSample.open(path) as written:
        written.verify()


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a zip entry that depends on neither time nor machine."""
    entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
    entry.create_system = 3  # Unix
    entry.external_attr = 0o644 << 16
    return entry


def _read_directory(path: Path) -> list[_Entry]:
    """Return all entries; the first one is `meta.json`."""
    entries = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ValueError(f"{info.filename!r} is compressed, expected stored")
            entries.append((info.header_offset, info.filename, info.file_size, info.CRC))
    if not entries or entries[0][1] != META_NAME or entries[0][2] > _MAX_META_BYTES:
        raise ValueError(f"its first entry is not {META_NAME}")
    return entries
