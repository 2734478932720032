"""Samples from folders of images: planned by frame number, packed as they are where they fit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

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
        path = find_list(videos_dir, str(sample_id), video_id)
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
        raise VideoError(
            f"{folder}: {len(missing)} of the frames that it needs are missing, frame {missing[0]} "
            "first. Put the images there and run `dae-aqa refresh`, or set damaged: exclude."
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
    images: dict[int, bytes] = {}
    headers: dict[int, ImageHeader] = {}
    faults: dict[int, str] = {}
    listed = task.images[sample.sample_id]
    for number, image in listed.items():
        try:
            images[number] = (task.root / image.file).read_bytes()
            headers[number] = image_header(images[number])
        except OSError as error:
            faults[number] = str(error.strerror)
        except ValueError as error:
            faults[number] = str(error)
    sizes = Counter((header.width, header.height) for header in headers.values())
    usual = sizes.most_common(1)[0][0] if sizes else (0, 0)
    for number, header in headers.items():
        if (header.width, header.height) != usual:
            faults[number] = (
                f"it has {header.width}×{header.height} pixels, "
                f"its neighbours {usual[0]}×{usual[1]}"
            )
    digest = hashlib.sha256()
    packed: dict[int, bytes] = {}
    scaler = UprightScaler(
        width=options.width, height=options.height, resize_filter=options.resize_filter
    )
    for number, data in images.items():
        if number in faults:
            continue
        digest.update(f"{number} {hashlib.sha256(data).hexdigest()}\n".encode())
        try:
            packed[number] = _fitted(data, headers[number], scaler, options)
        except ValueError as error:
            faults[number] = str(error)
    if faults:
        lines = [f"{task.root / listed[each].file}: {faults[each]}" for each in sorted(faults)]
        raise VideoError(
            f"sample {sample.sample_id!r}: {len(lines)} image(s) cannot be used: "
            f"{first_few(lines)}. Replace them, or set damaged: exclude."
        )
    meta = replace(sample.meta, video_sha256=digest.hexdigest())
    path = cache.sample_path(sample.key)
    write_packed_sample(path, meta=meta, images=[packed[each] for each in meta.frame_numbers])
    return path


def _fitted(
    data: bytes, header: ImageHeader, scaler: UprightScaler, options: ExtractOptions
) -> bytes:
    """Return an image as it is stored: its own bytes where size and format fit, else scaled."""
    wanted = ImageHeader(
        image_format=options.image_format, width=options.width, height=options.height
    )
    fits = header == wanted
    mode = cv2.IMREAD_REDUCED_COLOR_8 if fits else cv2.IMREAD_COLOR
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise ValueError("it cannot be decoded")
    if fits:
        return data
    rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    scaled = scaler(frame_of_picture(rgb))
    return encode_image(
        scaled, image_format=options.image_format, jpeg_quality=options.jpeg_quality
    )
