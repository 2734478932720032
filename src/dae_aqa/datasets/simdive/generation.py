"""From options to a data set: the videos on disk, the annotations table and the truth table."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from dae_aqa.datasets.simdive.broadcast import VideoPlan, plan_video, write_video
from dae_aqa.datasets.simdive.dives import FAULT_PREFIX, Dive, simulate_dives
from dae_aqa.datasets.simdive.options import STREAM_SPLIT, SimDiveOptions, random_stream
from dae_aqa.files.whole import remove_leftovers
from dae_aqa.running.lifetime import follow_parent
from dae_aqa.tables.annotations import check_annotations, format_judge_scores

logger = logging.getLogger(__name__)


def generate(
    *,
    options: SimDiveOptions,
    videos_dir: Path,
    num_workers: int,
    progress: Callable[[], None] | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Render all videos and return (annotations table, truth table), equal for any `num_workers`.

    Each video is written aside and renamed when it is complete; one that was made with the same
    options is kept, so an interrupted run goes on where it stopped.

    Args:
        options: what to simulate.
        videos_dir: folder for `<video_id>.mp4`; other files in it are left alone.
        num_workers: processes that render; 0 or 1 renders in this process.
        progress: called after each video.

    Returns:
        The annotations table (see `dae_aqa.tables.annotations.COLUMNS`), and the truth table with
        sample_id, true_execution (0 to 30), true_final, true_sigma_execution, true_sigma_final,
        quality (0 to 1) and `fault_<name>` (severity, 0 to 1) for every fault.
    """
    plans = [plan_video(index, options) for index in range(options.num_videos)]
    done = _rendered(plans, options=options, videos_dir=videos_dir, num_workers=num_workers)
    with closing(done):
        for video_id in done:
            logger.debug("simdive: %s is complete", video_id)
            if progress is not None:
                progress()
    return tables(options=options)


def tables(*, options: SimDiveOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (annotations table, truth table) as `generate` does, without rendering anything."""
    dives = simulate_dives(options)
    test_videos = _test_videos(options)
    annotations, truth = [], []
    for index in range(options.num_videos):
        plan = plan_video(index, options)
        split = "test" if index in test_videos else "train"
        for position, (dive_index, (start, end)) in enumerate(plan.ranges.items()):
            dive = dives[dive_index]
            sample_id = f"{plan.video_id}_{position:02d}"
            annotations.append(
                {
                    "sample_id": sample_id,
                    "video_id": plan.video_id,
                    "start_frame": start,
                    "end_frame": end,
                    "final_score": dive.final_score,
                    "difficulty": dive.kind.difficulty,
                    "judge_scores": format_judge_scores(dive.judge_scores),
                    "action_class": dive.kind.number,
                    "split": split,
                }
            )
            truth.append(_truth_row(sample_id, dive))
    table = check_annotations(pd.DataFrame(annotations), source="simdive")
    return table, pd.DataFrame(truth)


def _rendered(
    plans: list[VideoPlan], *, options: SimDiveOptions, videos_dir: Path, num_workers: int
) -> Generator[str, None, None]:
    """Yield the id of each video as soon as it is complete; when closed, stop at once."""
    videos_dir.mkdir(parents=True, exist_ok=True)
    remove_leftovers(videos_dir)
    if num_workers <= 1:
        for plan in plans:
            yield _render(plan, options, videos_dir)
        return
    # Spawned, not forked: the caller may hold threads (and a GPU), which a fork would break.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(num_workers, len(plans)), mp_context=context, initializer=follow_parent
    ) as pool:
        futures = [pool.submit(_render, plan, options, videos_dir) for plan in plans]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:  # an error, Ctrl-C, a closed generator
            for worker in multiprocessing.active_children():
                worker.kill()  # what it renders is written aside, so nothing half done stays
            raise


def _render(plan: VideoPlan, options: SimDiveOptions, videos_dir: Path) -> str:
    cv2.setNumThreads(1)
    write_video(plan, options=options, path=videos_dir / f"{plan.video_id}.mp4")
    return plan.video_id


def _test_videos(options: SimDiveOptions) -> set[int]:
    """Return the videos of the official test split: whole ones, as in a real protocol."""
    num_test = round(options.test_fraction * options.num_videos)
    num_test = min(max(num_test, 1), options.num_videos - 1)
    rng = random_stream(seed=options.seed, purpose=STREAM_SPLIT, index=0)
    order = rng.permutation(options.num_videos)
    return {int(index) for index in np.sort(order[:num_test])}


def _truth_row(sample_id: str, dive: Dive) -> dict[str, str | float]:
    difficulty = dive.kind.difficulty
    row: dict[str, str | float] = {
        "sample_id": sample_id,
        "true_execution": dive.true_execution,
        "true_final": difficulty * dive.true_execution,
        "true_sigma_execution": dive.true_sigma_execution,
        "true_sigma_final": difficulty * dive.true_sigma_execution,
        "quality": dive.quality,
    }
    return row | {FAULT_PREFIX + name: severity for name, severity in dive.faults.items()}
