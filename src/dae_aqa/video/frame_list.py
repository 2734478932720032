"""Folders of images that stand in for a video: their lists, and a check of each image's bytes.

A list is a CSV file, `<name>.frames.csv`, in the folder of the videos. It says which image shows
which frame, and how many bytes it has. A folder is known by names and sizes alone until its images
are needed: making a list reads no pixel.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from dae_aqa.errors import AnnotationError, VideoError
from dae_aqa.files.whole import write_error, written_whole
from dae_aqa.wording import first_few, problem_list

LIST_SUFFIX = ".frames.csv"
COLUMNS = ("number", "file", "size_bytes")
IMAGE_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}

_LAST_DIGITS = re.compile(r"(\d+)\D*$")
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# Source: ITU-T T.81, table B.1: the markers SOF0 to SOF15 without DHT, JPG and DAC
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """An image of a folder: `file` is its path within the user's folder, in posix form."""

    number: int
    file: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What the header of an image says: its format (`jpeg` or `png`) and its size in pixels."""

    image_format: str
    width: int
    height: int


def find_list(videos_dir: Path, *names: str) -> Path | None:
    """Return the list of the first of `names` that has one in `videos_dir`; None where none has."""
    paths = (videos_dir / f"{name}{LIST_SUFFIX}" for name in names)
    return next((path for path in paths if path.is_file()), None)


def list_images(folder: Path, *, root: Path, number_of_first: int) -> list[ListedImage]:
    """Return the images of `folder` by number; a file without digits or suffix of an image is none.

    Args:
        folder: the folder of one video or one performance.
        root: the user's folder that holds it.
        number_of_first: the number in a file's name that means frame 0.

    Raises:
        AnnotationError: two images have the same number; all such images are named.
    """
    images = []
    for path in folder.iterdir():
        digits = _LAST_DIGITS.search(path.stem)
        if digits is None or path.suffix.lower() not in IMAGE_FORMATS or not path.is_file():
            continue
        images.append(
            ListedImage(
                number=int(digits[1]) - number_of_first,
                file=path.relative_to(root).as_posix(),
                size_bytes=path.stat().st_size,
            )
        )
    files: dict[int, list[str]] = defaultdict(list)
    for image in sorted(images, key=lambda each: (each.number, each.file)):
        files[image.number].append(Path(image.file).name)
    twice = [
        f"{folder}: {first_few(names)} have the same number"
        for names in files.values()
        if len(names) > 1
    ]
    if twice:
        raise AnnotationError(f"{problem_list(twice)}\nKeep one image of each number.")
    return sorted(images, key=lambda each: each.number)


def write_frame_list(path: Path, images: list[ListedImage]) -> None:
    """Write a list, columns `COLUMNS`, whole or not at all.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    try:
        with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((image.number, image.file, image.size_bytes) for image in images)
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
    """Return the format and size of an image, after a look at its start and its end.

    Source: ITU-T T.81, annex B (JPEG markers); W3C PNG, third edition, sections 5 and 11.2.1.

    Raises:
        ValueError: the bytes are no complete JPEG of three components and no complete PNG.
    """
    if data.startswith(_PNG_START):
        if not data.endswith(_PNG_END):
            raise ValueError("it is cut off")
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        return ImageHeader(image_format="png", width=width, height=height)
    if data[:2] != b"\xff\xd8":
        raise ValueError("it is neither JPEG nor PNG")
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("it is cut off")
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_MARKERS:
            height, width = (int.from_bytes(data[i : i + 2], "big") for i in (at + 5, at + 7))
            if data[at + 9] != 3:
                raise ValueError(f"it has {data[at + 9]} colour component(s), expected 3")
            return ImageHeader(image_format="jpeg", width=width, height=height)
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError("its header is damaged")
