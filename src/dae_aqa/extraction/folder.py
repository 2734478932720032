"""Samples from folders of images: planned by frame number, packed as they are where they fit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dae_aqa.errors import VideoError
from dae_aqa.extraction.cache import WorkCache
from dae_aqa.extraction.encode import encode_image
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.extraction.plan import (
    Exclusion,
    FolderTask,
    SamplePlan,
    VideoPlan,
    cache_key,
    check_sample_id,
    sample_meta,
    sample_notes,
)
from dae_aqa.extraction.window import sample_window
from dae_aqa.files.hashing import value_sha256
from dae_aqa.packs.store import write_packed_sample
from dae_aqa.video.frame_list import (
    ImageHeader,
    ListedImage,
    find_list,
    image_header,
    number_in,
    read_frame_list,
)
from dae_aqa.video.upright import UprightScaler, frame_of_picture
from dae_aqa.wording import first_few


def plan_folders(
    video_id: str,
    rows: pd.DataFrame,
    *,
    videos_dir: Path,
    root: Path | None,
    options: ExtractOptions,
) -> tuple[VideoPlan, pd.DataFrame]:
    """Plan those samples of a video whose frames are listed images.

    Args:
        video_id: the video.
        rows: its samples, rows of the annotations table.
        videos_dir: where the lists of frames lie.
        root: the user's folder of images.
        options: what to extract and how.

    Returns:
        The plan, one task per sample, and the rows of the samples that have no list. A sample that
        lacks an image is excluded in the plan; nothing is raised.
    """
    plan = VideoPlan(tasks=[], excluded=[], notes=[])
    others = []
    for place, (sample_id, start, end) in enumerate(
        zip(rows["sample_id"], rows["start_frame"], rows["end_frame"], strict=True)
    ):
        path = find_list(videos_dir, sample_id=str(sample_id), video_id=video_id)
        if path is None:
            others.append(place)
            continue
        try:
            task = _plan_sample(str(sample_id), video_id, int(start), int(end), path, root, options)
        except (VideoError, OSError) as error:
            reason = f"sample {sample_id!r}: {error}"
            plan.excluded.append(
                Exclusion(sample_id=str(sample_id), video_id=video_id, reason=reason)
            )
            continue
        plan.tasks.append(task)
        plan.notes.extend(sample_notes(task.samples[0].meta))
    return plan, rows.iloc[others]


def _plan_sample(
    sample_id: str,
    video_id: str,
    start: int,
    end: int,
    path: Path,
    root: Path | None,
    options: ExtractOptions,
) -> FolderTask:
    """Return the task of the sample annotated as `[start, end)`, whose list lies at `path`."""
    check_sample_id(sample_id)
    if root is None:
        raise VideoError(f"{path} lists images, but frames_dir is not set. Set it, or remove it.")
    listed = _remembered_list(path, path.stat().st_mtime_ns)
    first, last = min(listed), max(listed)
    folder = (root / listed[first].file).parent
    try:
        window = sample_window(
            start_frame=start,
            end_frame=end,
            first_video_frame=first,
            end_video_frame=last + 1,
            window=options.window,
            num_frames=options.num_frames,
            margin_frames=options.margin_frames,
            early_end=options.early_end,
        )
    except VideoError as error:
        raise VideoError(f"{folder}: {error}") from error
    missing = [number for number in sorted(set(window.numbers)) if number not in listed]
    if missing:
        number = missing[0] + (number_in(listed[first].file) or 0) - first
        raise VideoError(
            f"{folder}: {len(missing)} of the images that it needs are missing, number {number} "
            "first. Put them there and run `dae-aqa refresh`, or set damaged: exclude."
        )
    images = {number: listed[number] for number in window.numbers}
    meta = sample_meta(sample_id, video_id, "", window, options)
    content = value_sha256([_fingerprint(root, image) for image in images.values()])
    key = cache_key(replace(meta, video_sha256=content), options)
    sample = SamplePlan(sample_id=sample_id, key=key, meta=meta, decoded=window.numbers)
    return FolderTask(video_id=video_id, root=root, samples=[sample], images={sample_id: images})


@lru_cache(maxsize=4)
def _remembered_list(path: Path, mtime_ns: int) -> dict[int, ListedImage]:
    del mtime_ns  # it only makes the key
    return read_frame_list(path)


def _fingerprint(root: Path, image: ListedImage) -> list[object]:
    """Return what tells that an image has not changed since it was packed."""
    path = root / image.file
    try:
        stat = path.stat()
    except OSError:
        return [str(path), None]  # told when the sample is written, with all other faults
    return [str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def write_folder_samples(
    task: FolderTask, *, cache: WorkCache, options: ExtractOptions
) -> Iterator[tuple[SamplePlan, Path | VideoError]]:
    """Pack the samples of a task one after the other; yield each with its file or its error."""
    for sample in task.samples:
        try:
            yield sample, _write_sample(sample, task, cache, options)
        except VideoError as error:
            yield sample, error


def _write_sample(
    sample: SamplePlan, task: FolderTask, cache: WorkCache, options: ExtractOptions
) -> Path:
    """Pack one sample: every image is read once, and all faults are told together.

    Raises:
        VideoError: images are gone, damaged or of another size than most of the sample's.
    """
    listed = task.images[sample.sample_id]
    images, faults = _read_images(task.root, listed)
    digest = hashlib.sha256()
    packed: dict[int, bytes] = {}
    fit = _Fitter(options)
    for number, (data, header) in images.items():
        digest.update(f"{number} {hashlib.sha256(data).hexdigest()}\n".encode())
        try:
            packed[number] = fit(data, header)
        except ValueError as error:
            faults[number] = str(error)
    if faults:
        lines = [f"{task.root / listed[each].file}: {faults[each]}" for each in sorted(faults)]
        raise VideoError(
            f"sample {sample.sample_id!r}: {len(lines)} image(s) cannot be used: "
            f"{first_few(lines)}. Put good ones there and run `dae-aqa refresh`, or set damaged: "
            "exclude."
        )
    meta = replace(sample.meta, video_sha256=digest.hexdigest())
    path = cache.sample_path(sample.key)
    write_packed_sample(path, meta=meta, images=[packed[each] for each in meta.frame_numbers])
    return path


def _read_images(
    root: Path, listed: Mapping[int, ListedImage]
) -> tuple[dict[int, tuple[bytes, ImageHeader]], dict[int, str]]:
    """Return the bytes and the header of each sound image, and what is wrong with the others."""
    images: dict[int, tuple[bytes, ImageHeader]] = {}
    faults: dict[int, str] = {}
    for number, image in listed.items():
        try:
            data = (root / image.file).read_bytes()
            if len(data) != image.size_bytes:
                raise ValueError("it has changed since it was listed")
            images[number] = data, image_header(data)
        except OSError as error:
            faults[number] = str(error.strerror)
        except ValueError as error:
            faults[number] = str(error)
    sizes = Counter((header.width, header.height) for _, header in images.values())
    usual = sizes.most_common(1)[0][0] if sizes else (0, 0)
    for number, (_, header) in list(images.items()):
        if (header.width, header.height) != usual:
            del images[number]
            faults[number] = (
                f"it has {header.width}×{header.height} pixels, "
                f"its neighbours {usual[0]}×{usual[1]}"
            )
    return images, faults


class _Fitter:
    """Gives each image of a sample the stored format and size; keeps its bytes if it has them."""

    def __init__(self, options: ExtractOptions) -> None:
        self._options = options
        self._scaler = UprightScaler(
            width=options.width, height=options.height, resize_filter=options.resize_filter
        )
        self._readable: set[bytes] = set()

    def __call__(self, data: bytes, header: ImageHeader) -> bytes:
        """Return the image as it is stored; raise ValueError where it cannot be decoded."""
        options = self._options
        if (header.image_format, header.width, header.height) == (
            options.image_format,
            options.width,
            options.height,
        ):
            # One decoded image speaks for all with its tables: a decoder gives up on those alone.
            if header.coding not in self._readable:
                _decoded(data)
                self._readable.add(header.coding)
            return data
        scaled = self._scaler(frame_of_picture(_decoded(data)))
        return encode_image(
            scaled, image_format=options.image_format, jpeg_quality=options.jpeg_quality
        )


def _decoded(data: bytes) -> NDArray[np.uint8]:
    """Return the picture as (height, width, 3) uint8, RGB, as it is coded (not turned by Exif)."""
    mode = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    if picture is None:
        raise ValueError("it cannot be decoded")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
