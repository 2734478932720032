"""Extraction: from annotations and videos to one packed sample each, resumable at any moment.

Every video is indexed, the frames that its samples need are planned, and only the groups of
pictures that hold them are decoded. Each finished sample goes to the work cache first and from
there to the output folder, so that no later accident costs it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pandas as pd

from dae_aqa.errors import VideoError
from dae_aqa.extraction.cache import WorkCache
from dae_aqa.extraction.encode import SampleWriter
from dae_aqa.extraction.options import ExtractOptions as ExtractOptions
from dae_aqa.extraction.plan import Exclusion, Note, SamplePlan, VideoPlan, plan_video
from dae_aqa.files.whole import copy_file, remove_leftovers
from dae_aqa.packs.store import write_error
from dae_aqa.running.progress import Progress

_logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

STAGE = "extract_frames"
_EXCLUDED_COLUMNS = ["sample_id", "video_id", "stage", "reason"]
_NOTE_COLUMNS = ["sample_id", "video_id", "note"]
_SAMPLES_PER_TASK = 8
_MAX_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class ExtractionReport:
    """What extraction did.

    Attributes:
        num_samples: samples in the output folder.
        num_extracted: samples that were decoded in this run.
        num_reused: samples that came from the work cache.
        excluded: one row per sample left out: sample_id, video_id, stage, reason.
        notes: one row per thing worth knowing: sample_id (empty for a whole video), video_id, note.
    """

    num_samples: int
    num_extracted: int
    num_reused: int
    excluded: pd.DataFrame
    notes: pd.DataFrame


@dataclass
class _Progress:
    """What was found and done so far; the tasks add to it under the lock."""

    excluded: list[Exclusion] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    num_extracted: int = 0
    num_reused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)


def extract_samples(
    *,
    annotations: pd.DataFrame,
    videos_dir: Path,
    frames_dir: Path,
    cache_dir: Path,
    options: ExtractOptions,
) -> ExtractionReport:
    """Write `frames_dir/<sample_id>.zip` for every sample of the annotations table.

    Args:
        annotations: table with the columns of `dae_aqa.tables.annotations.COLUMNS`.
        videos_dir: folder with one video per `video_id`.
        frames_dir: output folder; packed samples in it that are not in the table are removed.
        cache_dir: folder for finished work; keep it between runs.
        options: what to extract and how.

    Returns:
        Counts, the samples left out and the notes.

    Raises:
        VideoError: after everything else is finished: videos are missing or damaged and
            `options.damaged` is `error`.
        FrameStoreError: the disk is full, or the work cache cannot be written.
        OutputError: the output cannot be written.
    """
    cache = WorkCache(cache_dir)
    _prepare(frames_dir, set(annotations["sample_id"]))
    progress = _Progress()
    groups = [(str(video), rows) for video, rows in annotations.groupby("video_id", sort=True)]

    def plan(group: tuple[str, pd.DataFrame]) -> VideoPlan:
        return plan_video(group[0], group[1], videos_dir=videos_dir, cache=cache, options=options)

    def work(task: tuple[VideoPlan, list[SamplePlan]]) -> None:
        if progress.stop.is_set():
            return
        _finish_samples(task[0], task[1], frames_dir, cache, options, progress)

    pool = _Pool(num_workers=options.num_workers, stop=progress.stop)
    plans = pool.run(plan, groups, title="index videos", unit="video", size=lambda _: 1)
    tasks: list[tuple[VideoPlan, list[SamplePlan]]] = []
    for video in plans:
        progress.excluded.extend(video.excluded)
        progress.notes.extend(video.notes)
        tasks.extend((video, samples) for samples in _parts(video))
    pool.run(work, tasks, title="extract frames", unit="sample", size=lambda task: len(task[1]))
    report = _report(annotations, progress)
    _judge(report, options)
    return report


def _prepare(frames_dir: Path, sample_ids: set[str]) -> None:
    """Make the output folder; remove half-written files and samples not asked for."""
    try:
        frames_dir.mkdir(parents=True, exist_ok=True)
        remove_leftovers(frames_dir)
        for path in frames_dir.glob("*.zip"):
            if path.stem not in sample_ids:
                _logger.info("removing %s: not in the annotations table", path)
                path.unlink()
    except OSError as error:
        raise write_error(frames_dir, error) from error


def _parts(video: VideoPlan) -> Iterable[list[SamplePlan]]:
    """Split the samples of a video, in order, where a seek parts them anyway."""
    part: list[SamplePlan] = []
    end = -1
    index = video.index
    for sample in sorted(video.samples, key=lambda s: (s.decoded[0], s.sample_id)):
        is_apart = (
            index is not None and index.is_seekable and index.seek_frame(sample.decoded[0]) > end
        )
        if part and is_apart and len(part) >= _SAMPLES_PER_TASK:
            yield part
            part = []
        part.append(sample)
        end = max(end, sample.decoded[-1])
    if part:
        yield part


def _finish_samples(
    video: VideoPlan,
    samples: list[SamplePlan],
    frames_dir: Path,
    cache: WorkCache,
    options: ExtractOptions,
    progress: _Progress,
) -> None:
    """Bring all `samples` of one video to the output folder, from the cache or by decoding."""

    def done(sample: SamplePlan, path: Path, *, is_new: bool) -> None:
        copy_file(source=path, target=frames_dir / f"{sample.sample_id}.zip")
        with progress.lock:
            progress.num_extracted += is_new
            progress.num_reused += not is_new

    missing = []
    for sample in samples:
        kept = cache.find_sample(sample.key)
        if kept is None:
            missing.append(sample)
        else:
            done(sample, kept, is_new=False)
    if not missing or video.index is None:
        return
    threads = max(1, (os.cpu_count() or 1) // options.num_workers)
    writer = SampleWriter(
        path=video.path, index=video.index, cache=cache, options=options, num_threads=threads
    )
    for sample, outcome in writer.write(missing):
        if isinstance(outcome, Path):
            done(sample, outcome, is_new=True)
            if progress.stop.is_set():
                return
        else:
            with progress.lock:
                progress.excluded.append(
                    Exclusion(
                        sample_id=sample.sample_id, video_id=video.video_id, reason=str(outcome)
                    )
                )


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """Threads with a progress bar. The first error, or Ctrl-C, sets `stop` and ends the rest."""

    num_workers: int
    stop: threading.Event

    def run(
        self,
        work: Callable[[_Item], _Result],
        items: Sequence[_Item],
        *,
        title: str,
        unit: str,
        size: Callable[[_Item], int],
    ) -> list[_Result]:
        """Return `work(item)` for every item, in order."""
        results: dict[int, _Result] = {}
        with (
            Progress(title, total=sum(size(item) for item in items), unit=unit) as bar,
            ThreadPoolExecutor(max_workers=self.num_workers) as pool,
        ):
            futures = {pool.submit(work, item): place for place, item in enumerate(items)}
            try:
                for future in as_completed(futures):
                    place = futures[future]
                    results[place] = future.result()
                    bar.advance(size(items[place]))
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [results[place] for place in range(len(items))]


def _report(annotations: pd.DataFrame, progress: _Progress) -> ExtractionReport:
    excluded = pd.DataFrame(
        [(e.sample_id, e.video_id, STAGE, e.reason) for e in progress.excluded],
        columns=_EXCLUDED_COLUMNS,
    ).sort_values("sample_id", ignore_index=True)
    notes = pd.DataFrame(
        [(n.sample_id, n.video_id, n.note) for n in progress.notes], columns=_NOTE_COLUMNS
    ).sort_values(["video_id", "sample_id", "note"], ignore_index=True)
    return ExtractionReport(
        num_samples=len(annotations) - len(excluded),
        num_extracted=progress.num_extracted,
        num_reused=progress.num_reused,
        excluded=excluded,
        notes=notes,
    )


def _judge(report: ExtractionReport, options: ExtractOptions) -> None:
    """Raise where samples are missing and the user did not allow that."""
    if report.excluded.empty:
        return
    lines = []
    for (video_id, reason), rows in report.excluded.groupby(["video_id", "reason"], sort=True):
        ids = list(rows["sample_id"])
        shown = ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        lines.append(f"  video {video_id!r}, {len(ids)} sample(s) ({shown}): {reason}")
    more = f"\n  … and {len(lines) - _MAX_SHOWN} more" if len(lines) > _MAX_SHOWN else ""
    message = (
        f"{len(report.excluded)} of {report.num_samples + len(report.excluded)} samples cannot be "
        f"extracted:\n" + "\n".join(lines[:_MAX_SHOWN]) + more
    )
    if options.damaged == "error":
        raise VideoError(
            f"{message}\nAll other samples are finished and kept. Repair the videos or "
            "annotations, or set damaged: exclude to go on without these samples."
        )
    _logger.warning("%s", message)
