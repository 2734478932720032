"""Folders of images that stand in for videos: listed by number when a dataset is loaded.

The list, in the folder of the videos, is all that the later stages know of a folder:
`<video_id>.frames.csv` of a whole video, `<sample_id>.sample_frames.csv` of one performance. The
images stay where they are; extraction reads those that it needs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dae_aqa.errors import AnnotationError
from dae_aqa.running.progress import counted
from dae_aqa.tables.dataset import Note
from dae_aqa.video.frame_list import ListedImage, list_file, list_images, write_frame_list
from dae_aqa.wording import first_few


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """A folder of the user's and its images, by the numbers in their names, ascending.

    Attributes:
        folder: the folder.
        images: at least one.
        others: names of files that are no numbered images, ordered.
    """

    folder: Path
    images: list[ListedImage]
    others: list[str]

    @property
    def lowest(self) -> int:
        """The lowest number."""
        return self.images[0].number

    @property
    def highest(self) -> int:
        """The highest number."""
        return self.images[-1].number

    @property
    def num_missing(self) -> int:
        """How many numbers between the lowest and the highest have no image."""
        return self.highest - self.lowest + 1 - len(self.images)


def folders_named(root: Path, *, suffix: str) -> dict[str, Path]:
    """Return the folders below `root`, at any depth, whose names end in `suffix`, by name.

    What lies in them is not looked at: they hold thousands of images.
    """
    found: dict[str, Path] = {}
    for folder, names, _ in os.walk(root):
        inside = [name for name in names if name.endswith(suffix)]
        found |= {name: Path(folder) / name for name in inside}
        names[:] = sorted(set(names) - set(inside))
    return found


def look_into(folders: Mapping[str, Path], *, frames_dir: Path) -> dict[str, ImageFolder]:
    """Return what the folders hold, by name; those without an image are left out.

    Args:
        folders: by the name of the video or of the sample.
        frames_dir: the folder that holds them all, `DatasetOptions.frames_root`.

    Raises:
        AnnotationError: two images of a folder have the same number; all such images are named.
    """
    found, twice = {}, []
    for name in counted(sorted(folders), "listing images", unit="folder"):
        if not folders[name].is_dir():
            continue
        try:
            images, others = list_images(folders[name], root=frames_dir)
        except AnnotationError as error:
            twice.append(str(error))
            continue
        if images:
            found[name] = ImageFolder(folder=folders[name], images=images, others=others)
    if twice:
        raise AnnotationError("\n".join([*twice, "Keep one image of each number."]))
    return found


def usual_first_numbers(found: Mapping[str, ImageFolder]) -> dict[str, int]:
    """Return the number that means frame 0 in each of many folders, which each begin at frame 0.

    Where more than half of the folders begin with the same number, it is that one, so that a folder
    which lacks its first image is noticed. Otherwise it is each folder's lowest.
    """
    lowest = {name: folder.lowest for name, folder in found.items()}
    number, count = Counter(lowest.values()).most_common(1)[0] if lowest else (0, 0)
    if 2 * count <= len(lowest):
        return lowest
    return {name: min(number, own) for name, own in lowest.items()}


def list_frames(
    found: Mapping[str, ImageFolder],
    numbers_of_first: Mapping[str, int],
    *,
    videos_dir: Path,
    of_samples: bool,
) -> None:
    """Write the list of each folder to `videos_dir`.

    Args:
        found: the folders, by the name of the video or of the sample.
        numbers_of_first: the number in a file's name that means frame 0, by the same name.
        videos_dir: the pipeline's folder of videos.
        of_samples: each folder holds one performance, and its name is a `sample_id`.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    for name, folder in found.items():
        path = list_file(videos_dir, name, of_sample=of_samples)
        write_frame_list(path, folder.images, number_of_first=numbers_of_first[name])


def folder_notes(found: Mapping[str, ImageFolder]) -> Iterator[Note]:
    """Yield a note for each folder with gaps, or with files that are no numbered images."""
    for name, each in found.items():
        if each.num_missing:
            numbers = {image.number for image in each.images}
            first = next(n for n in range(each.lowest, each.highest) if n not in numbers)
            yield Note(
                name,
                "gap_in_frames",
                f"{each.folder}: {each.num_missing} of the numbers {each.lowest} to "
                f"{each.highest} have no image, {first} first",
            )
        if each.others:
            detail = f"{each.folder}: no numbered images, left out: {first_few(each.others)}"
            yield Note(name, "no_numbered_image", detail)
