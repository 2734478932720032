"""Folders of images that stand in for videos: listed by number when a dataset is loaded.

The list, `<name>.frames.csv` in the folder of the videos, is all that the later stages know of the
folder. `name` is a `video_id` where the folder holds a whole video, and a `sample_id` where it
holds one performance. The images stay where they are; extraction reads those that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dae_aqa.errors import AnnotationError
from dae_aqa.video.frame_list import LIST_SUFFIX, list_images, write_frame_list


@dataclass(frozen=True, kw_only=True)
class FrameFolder:
    """A folder of the user's whose images are the frames of a video or of one performance.

    Attributes:
        name: the `video_id`, or the `sample_id` where each performance has a folder of its own.
        folder: the folder.
        number_of_first: the number in a file's name that means frame 0 of the dataset's numbering.
    """

    name: str
    folder: Path
    number_of_first: int


@dataclass(frozen=True, kw_only=True)
class ListedFrames:
    """What a listed folder holds, in the dataset's numbering.

    Attributes:
        first_frame: of the lowest file number.
        end_frame: one past that of the highest file number.
        num_images: how many there are; less than the range where numbers are missing.
    """

    first_frame: int
    end_frame: int
    num_images: int


def list_frames(
    folders: Iterable[FrameFolder], *, frames_dir: Path, videos_dir: Path
) -> dict[str, ListedFrames]:
    """Write the list of each folder to `videos_dir` and return what they hold, by name.

    A folder that is not there, or that holds no image, is left out of the result.

    Args:
        folders: what to list.
        frames_dir: the folder that holds them all, `DatasetOptions.frames_root`.
        videos_dir: the pipeline's folder of videos.

    Raises:
        AnnotationError: two images of a folder have the same number; all such folders are named.
    """
    listed, twice = {}, []
    for each in folders:
        if not each.folder.is_dir():
            continue
        try:
            images = list_images(each.folder, root=frames_dir, number_of_first=each.number_of_first)
        except AnnotationError as error:
            twice.append(str(error))
            continue
        if images:
            write_frame_list(videos_dir / f"{each.name}{LIST_SUFFIX}", images)
            listed[each.name] = ListedFrames(
                first_frame=images[0].number,
                end_frame=images[-1].number + 1,
                num_images=len(images),
            )
    if twice:
        raise AnnotationError("\n".join(twice))
    return listed
