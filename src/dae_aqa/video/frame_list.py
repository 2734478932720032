"""Folders of images that stand in for a video: their lists, and a check of each image's bytes.

A list is a CSV file in the folder of the videos: `<video_id>.frames.csv` of a whole video, or
`<sample_id>.sample_frames.csv` of one performance. It says which image shows which frame, and how
many bytes it has. A folder is known by names and sizes alone until its images are needed: making a
list reads no pixel.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from dae_aqa.errors import AnnotationError, VideoError
from dae_aqa.files.whole import write_error, written_whole
from dae_aqa.wording import problem_list

COLUMNS = ("number", "file", "size_bytes")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}

_VIDEO_SUFFIX, _SAMPLE_SUFFIX = ".frames.csv", ".sample_frames.csv"
_LAST_DIGITS = re.compile(r"(\d+)\D*$")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_START = _PNG_SIGNATURE + b"\0\0\0\rIHDR"
# Source: ITU-T T.81, table B.1: the markers SOF0 to SOF15 without DHT, JPG and DAC
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END, _SCAN = 0xD9, 0xDA
# DHT, DAC, DQT, DNL, DRI; what applications add, and comments
_OTHER_MARKERS = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE})
_IN_SCAN = np.isin(np.arange(256), [0x00, *range(0xD0, 0xD8), 0xFF])  # after FF: stuffing, restarts


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """An image of a folder.

    Attributes:
        number: of the frame that it shows, in the dataset's numbering; as long as it is not known
            which number means frame 0, the number in the file's name.
        file: its path within the user's folder, in posix form.
        size_bytes: of the file.
    """

    number: int
    file: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What the header of an image says.

    Attributes:
        image_format: `jpeg` or `png`.
        width: in pixels.
        height: in pixels.
        coding: the bytes that tell a decoder how to read the picture, with all its tables.
    """

    image_format: str
    width: int
    height: int
    coding: bytes


def list_file(videos_dir: Path, name: str, *, of_sample: bool) -> Path:
    """Return where the list of a video lies in `videos_dir`, or that of one performance."""
    return videos_dir / f"{name}{_SAMPLE_SUFFIX if of_sample else _VIDEO_SUFFIX}"


def find_list(videos_dir: Path, *, sample_id: str, video_id: str) -> Path | None:
    """Return the list that holds a sample's frames: its own, else its video's, else None."""
    own = list_file(videos_dir, sample_id, of_sample=True)
    of_video = list_file(videos_dir, video_id, of_sample=False)
    return next((path for path in (own, of_video) if path.is_file()), None)


def number_in(name: str) -> int | None:
    """Return the last number in an image's file name, suffix aside: 7 for `img_000007.jpg`."""
    digits = _LAST_DIGITS.search(PurePosixPath(name).stem)
    return None if digits is None else int(digits[1])


def list_images(folder: Path, *, root: Path) -> tuple[list[ListedImage], list[str]]:
    """Return the images of `folder` by the number in their names, and the names of other files.

    A hidden file is neither.

    Args:
        folder: the folder of one video or one performance.
        root: the user's folder that holds it.

    Raises:
        AnnotationError: two images have the same number; all such images are named.
    """
    place = folder.relative_to(root).as_posix()
    images, others = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_file():
                continue
            number = number_in(entry.name)
            if number is None or PurePosixPath(entry.name).suffix.lower() not in IMAGE_SUFFIXES:
                others.append(entry.name)
                continue
            size = entry.stat().st_size
            images.append(ListedImage(number=number, file=f"{place}/{entry.name}", size_bytes=size))
    images.sort(key=lambda each: (each.number, each.file))
    twice = [
        f"{first.file}, {second.file}"
        for first, second in itertools.pairwise(images)
        if first.number == second.number
    ]
    if twice:
        raise AnnotationError(f"{root}: images with the same number: {problem_list(twice)}")
    return images, sorted(others)


def write_frame_list(path: Path, images: Iterable[ListedImage], *, number_of_first: int) -> None:
    """Write a list, columns `COLUMNS`, whole or not at all.

    Args:
        path: the list.
        images: by the number in their names.
        number_of_first: the number in a file's name that means frame 0.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    try:
        with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(
                (image.number - number_of_first, image.file, image.size_bytes) for image in images
            )
    except OSError as error:
        raise write_error(path, error) from error


def read_frame_list(path: Path) -> dict[int, ListedImage]:
    """Return the images of a list by number, ascending.

    Raises:
        VideoError: the list is damaged or empty.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            images = [
                ListedImage(
                    number=int(row["number"]), file=row["file"], size_bytes=int(row["size_bytes"])
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VideoError(
            f"{path}: damaged list of frames. Run the download stage again."
        ) from error
    if not images:
        raise VideoError(f"{path}: the list names no image. Run the download stage again.")
    return {image.number: image for image in sorted(images, key=lambda each: each.number)}


def image_header(data: bytes) -> ImageHeader:
    """Return what the header of an image says, after a walk through all parts of the file.

    Of a PNG every part's checksum is compared. A JPEG has none: its parts must follow each other up
    to the end mark, and its coded data may hold no foreign mark.

    Source: ITU-T T.81, annex B (JPEG markers); W3C PNG, third edition, sections 5 and 11.2.1.

    Raises:
        ValueError: the bytes are no complete JPEG of three components and no complete PNG.
    """
    try:
        if data.startswith(_PNG_START):
            return _png_header(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_header(data)
    except (IndexError, struct.error) as error:
        raise ValueError("it is cut off") from error
    raise ValueError("it is neither JPEG nor PNG")


def _png_header(data: bytes) -> ImageHeader:
    at, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(data[at + 4 : at + 8 + length]) != checksum:
            raise ValueError("it is damaged (a checksum differs)")
        at += 12 + length
    width, height = struct.unpack_from(">II", data, 16)
    return ImageHeader(
        image_format="png", width=width, height=height, coding=data[len(_PNG_SIGNATURE) : 33]
    )


def _jpeg_header(data: bytes) -> ImageHeader:
    header, at = None, 2
    while True:
        start, marker = data[at], data[at + 1]
        if start != 0xFF:
            raise ValueError("it is damaged")
        if marker == 0xFF:  # padding before a marker
            at += 1
            continue
        if marker == _END:
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAME_MARKERS:
            height, width, num_components = struct.unpack_from(">HHB", data, at + 5)
            if num_components != 3:
                raise ValueError(f"it has {num_components} colour component(s), expected 3")
            header = ImageHeader(image_format="jpeg", width=width, height=height, coding=b"")
        elif marker == _SCAN and header is not None:
            if not header.coding:
                header = replace(header, coding=data[2:end])
            end = _end_of_scan(data, end)
        elif marker not in _OTHER_MARKERS:
            raise ValueError("it is damaged")
        at = end
    if header is None or not header.coding:
        raise ValueError("it is damaged")
    return header


def _end_of_scan(data: bytes, start: int) -> int:
    """Return where the coded data that begins at `start` ends: the place of the next marker."""
    coded = np.frombuffer(data, dtype=np.uint8, offset=start)
    places = np.flatnonzero(coded[:-1] == 0xFF)
    markers = places[~_IN_SCAN[coded[places + 1]]]
    if len(markers) == 0:
        raise ValueError("it is cut off")
    return start + int(markers[0])
