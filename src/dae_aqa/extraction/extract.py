"""Extraction: from annotations and videos to one packed sample each, resumable at any moment.

Every video is indexed and planned. Then only the groups of pictures are decoded that hold frames of
its samples. Each finished sample goes to the work cache and from there to the output folder, so
that no later accident costs it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from dae_aqa.errors import VideoError
from dae_aqa.extraction.cache import WorkCache
from dae_aqa.extraction.encode import write_samples
from dae_aqa.extraction.folder import plan_folders, write_folder_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.extraction.plan import (
    Exclusion,
    FolderTask,
    SamplePlan,
    Task,
    VideoPlan,
    plan_video,
)
from dae_aqa.files.whole import copy_file, remove_leftovers, write_error
from dae_aqa.running.progress import Progress
from dae_aqa.wording import first_few, problem_list

logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

STAGE = "extract_frames"
_EXCLUDED_COLUMNS = ["sample_id", "video_id", "stage", "reason"]
_NOTE_COLUMNS = ["sample_id", "video_id", "note"]


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


def extract_samples(
    *,
    annotations: pd.DataFrame,
    videos_dir: Path,
    frames_dir: Path,
    cache_dir: Path,
    options: ExtractOptions,
    frames_root: Path | None = None,
) -> ExtractionReport:
    """Write `frames_dir/<sample_id>.zip` for every sample of the annotations table.

    Args:
        annotations: table with the columns of `dae_aqa.tables.annotations.COLUMNS`.
        videos_dir: folder with one video, or one list of frames, per `video_id`; a list of frames
            of a `sample_id` goes before both.
        frames_dir: output folder; packed samples in it that are not in the table are removed.
        cache_dir: folder for finished work; keep it between runs.
        options: what to extract and how.
        frames_root: the user's folder of images that the lists of frames speak of; None where
            there are videos alone.

    Returns:
        Counts, the samples left out and the notes.

    Raises:
        VideoError: after everything else is finished: videos are missing or damaged and
            `options.damaged` is `error`.
        OutputError: the disk is full, or the output or the work cache cannot be written.
    """
    cache = WorkCache(cache_dir)
    _prepare(frames_dir, set(annotations["sample_id"]))
    groups = [(str(video), rows) for video, rows in annotations.groupby("video_id", sort=True)]

    def plan(group: tuple[str, pd.DataFrame]) -> VideoPlan:
        video_id, rows = group
        folders, rows = plan_folders(
            video_id, rows, videos_dir=videos_dir, root=frames_root, options=options
        )
        if rows.empty:
            return folders
        video = plan_video(video_id, rows, videos_dir=videos_dir, cache=cache, options=options)
        return VideoPlan(
            tasks=[*folders.tasks, *video.tasks],
            excluded=[*folders.excluded, *video.excluded],
            notes=[*folders.notes, *video.notes],
        )

    extractor = _Extractor(frames_dir=frames_dir, cache=cache, options=options)
    pool = _Pool(num_workers=options.num_workers, stop=extractor.stop)
    plans = pool.run(plan, groups, title="index videos", unit="video", size=lambda _: 1)
    tasks = [task for video in plans for task in video.tasks]
    pool.run(
        extractor.finish,
        tasks,
        title="extract frames",
        unit="sample",
        size=lambda task: len(task.samples),
    )
    report = _report(len(annotations), plans, extractor)
    logger.info(
        "%d samples decoded, %d taken from the work cache, %d left out",
        *(report.num_extracted, report.num_reused, len(report.excluded)),
    )
    _judge(report, options)
    return report


def _prepare(frames_dir: Path, sample_ids: set[str]) -> None:
    """Make the output folder; remove half-written files and samples not asked for."""
    try:
        frames_dir.mkdir(parents=True, exist_ok=True)
        remove_leftovers(frames_dir)
        for path in frames_dir.glob("*.zip"):
            if path.stem not in sample_ids:
                logger.info("removing %s: not in the annotations table", path)
                path.unlink()
    except OSError as error:
        raise write_error(frames_dir, error) from error


class _Extractor:
    """Brings samples to the output folder; several threads may use one.

    Attributes:
        excluded: samples that met damage.
        num_extracted: samples decoded so far.
        num_reused: samples taken from the work cache so far.
        stop: once set, no further sample is begun.
    """

    def __init__(self, *, frames_dir: Path, cache: WorkCache, options: ExtractOptions) -> None:
        self._frames_dir, self._cache, self._options = frames_dir, cache, options
        self.excluded: list[Exclusion] = []
        self.num_extracted = self.num_reused = 0
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def finish(self, task: Task | FolderTask) -> None:
        """Bring the samples of `task` to the output folder, from the cache or by decoding."""
        if self.stop.is_set():
            return
        missing = [sample for sample in task.samples if not self._reuse(sample)]
        if missing:
            self._decode(replace(task, samples=missing))

    def _reuse(self, sample: SamplePlan) -> bool:
        """Take `sample` from the work cache, and say whether it was there."""
        kept = self._cache.find_sample(sample.key)
        if kept is None:
            return False
        self._publish(sample, kept)
        with self._lock:
            self.num_reused += 1
        return True

    def _decode(self, task: Task | FolderTask) -> None:
        num_threads = max(1, (os.cpu_count() or 1) // self._options.num_workers)
        written = (
            write_folder_samples(task, cache=self._cache, options=self._options)
            if isinstance(task, FolderTask)
            else write_samples(
                task, cache=self._cache, options=self._options, num_threads=num_threads
            )
        )
        for sample, outcome in written:
            if isinstance(outcome, VideoError):
                lost = Exclusion(
                    sample_id=sample.sample_id, video_id=task.video_id, reason=str(outcome)
                )
                with self._lock:
                    self.excluded.append(lost)
                continue
            self._publish(sample, outcome)
            with self._lock:
                self.num_extracted += 1
            if self.stop.is_set():
                return

    def _publish(self, sample: SamplePlan, path: Path) -> None:
        copy_file(source=path, target=self._frames_dir / f"{sample.sample_id}.zip")


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


def _report(
    num_annotated: int, plans: Sequence[VideoPlan], extractor: _Extractor
) -> ExtractionReport:
    lost = [each for plan in plans for each in plan.excluded] + extractor.excluded
    excluded = pd.DataFrame(
        [(each.sample_id, each.video_id, STAGE, each.reason) for each in lost],
        columns=_EXCLUDED_COLUMNS,
    ).sort_values("sample_id", ignore_index=True)
    notes = pd.DataFrame(
        [(each.sample_id, each.video_id, each.note) for plan in plans for each in plan.notes],
        columns=_NOTE_COLUMNS,
    ).sort_values(["video_id", "sample_id", "note"], ignore_index=True)
    return ExtractionReport(
        num_samples=num_annotated - len(excluded),
        num_extracted=extractor.num_extracted,
        num_reused=extractor.num_reused,
        excluded=excluded,
        notes=notes,
    )


def _judge(report: ExtractionReport, options: ExtractOptions) -> None:
    """Raise where samples are missing and the user did not allow that."""
    if report.excluded.empty:
        return
    problems = [
        f"video {video_id!r}, {len(rows)} sample(s) ({first_few(list(rows['sample_id']))}): "
        f"{reason}"
        for (video_id, reason), rows in report.excluded.groupby(["video_id", "reason"], sort=True)
    ]
    num_excluded = len(report.excluded)
    message = (
        f"{num_excluded} of {report.num_samples + num_excluded} samples cannot be extracted; "
        f"{problem_list(problems)}"
    )
    if options.damaged == "error":
        raise VideoError(
            f"{message}\nAll other samples are finished and kept. Repair the videos or "
            "annotations, or set damaged: exclude to go on without these samples."
        )
    logger.warning("%s", message)
