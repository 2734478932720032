"""The simulator's videos and tables: frame numbers, splits, repeatability, interruption."""

from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from simdive_options import simdive_options
from tests.half_written import half_written

from dae_aqa.datasets.simdive import broadcast
from dae_aqa.datasets.simdive.broadcast import dive_in_motion, plan_video
from dae_aqa.datasets.simdive.dives import FAULT_WEIGHTS
from dae_aqa.datasets.simdive.generation import generate, tables
from dae_aqa.errors import ParamsError
from dae_aqa.tables.annotations import COLUMNS

OPTIONS = simdive_options()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simdive")
    calls = []
    annotations, truth = generate(
        options=OPTIONS,
        videos_dir=folder,
        num_workers=1,
        progress=lambda: calls.append(len(list(folder.glob("*.mp4")))),
    )
    assert calls == [1, 2, 3]
    return folder, annotations, truth


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_videos_hold_the_planned_frames_in_h264(made):
    folder, _, _ = made
    for index in range(OPTIONS.num_videos):
        plan = plan_video(index, OPTIONS)
        with av.open(str(folder / f"{plan.video_id}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert (stream.width, stream.height, stream.average_rate) == (112, 64, 25)
            assert stream.frames == plan.num_frames
            assert sum(1 for _ in container.decode(video=0)) == plan.num_frames


def test_tables_have_the_promised_columns_and_whole_videos_are_held_out(made):
    _, annotations, truth = made
    assert tuple(annotations.columns) == COLUMNS
    assert list(truth.columns) == [
        "sample_id",
        "true_execution",
        "true_final",
        "true_sigma_execution",
        "true_sigma_final",
        "quality",
        *[f"fault_{name}" for name in FAULT_WEIGHTS],
    ]
    assert list(truth["sample_id"]) == list(annotations["sample_id"])
    assert len(annotations) == OPTIONS.num_dives
    assert annotations.groupby("video_id")["split"].nunique().max() == 1
    assert set(annotations["split"]) == {"train", "test"}
    difficulty = annotations["difficulty"].to_numpy()
    np.testing.assert_allclose(truth["true_final"], difficulty * truth["true_execution"])
    np.testing.assert_allclose(
        truth["true_sigma_final"], difficulty * truth["true_sigma_execution"]
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_window_before_the_end_holds_take_off_and_entry(seed):
    options = simdive_options(num_dives=30, dives_per_video=5, seed=seed)
    for index in range(options.num_videos):
        plan = plan_video(index, options)
        first = 0
        for shot in plan.shots:
            if shot.dive_index is not None and not shot.is_replay:
                start, end = plan.ranges[shot.dive_index]
                _, motion, _ = dive_in_motion(shot.dive_index, options)
                take_off = first + int(np.searchsorted(shot.times, 0.0))
                entry = first + int(np.searchsorted(shot.times, motion.flight_seconds))
                assert end - 103 <= take_off
                assert start < take_off < entry < end - 10
                assert end - 103 >= 6
                assert end + 6 <= first + len(shot.times)
                assert end - start <= 103
            first += len(shot.times)
        assert first == plan.num_frames


def test_the_annotated_range_ends_on_the_splash(made):
    """Between entry and annotated end something white appears that was not there before."""
    folder, annotations, truth = made
    worst = annotations.loc[truth["fault_splash"].idxmax()]
    frames = decode(folder / f"{worst.video_id}.mp4").astype(int)
    _, motion, _ = dive_in_motion(int(truth["fault_splash"].idxmax()), OPTIONS)
    entry = worst.end_frame - 25 * 1.0
    before = (frames[int(entry) - 8 : int(entry) - 4] > 190).sum(axis=(1, 2)).max()
    after = (frames[int(entry) : worst.end_frame] > 190).sum(axis=(1, 2)).max()
    assert after > before
    assert motion.flight_seconds > 1.0


def test_results_do_not_depend_on_the_number_of_workers(made, tmp_path):
    folder, annotations, truth = made
    again = generate(options=OPTIONS, videos_dir=tmp_path, num_workers=2, progress=None)
    pd.testing.assert_frame_equal(again[0], annotations)
    pd.testing.assert_frame_equal(again[1], truth)
    assert contents(tmp_path) == contents(folder)


def test_another_seed_gives_another_dataset():
    annotations, _ = tables(options=OPTIONS)
    other, _ = tables(options=OPTIONS.replaced(seed=12))
    assert list(annotations["final_score"]) != list(other["final_score"])


def test_finished_videos_are_kept_and_others_rendered_anew(tmp_path, monkeypatch):
    options = simdive_options(num_dives=3, dives_per_video=1)
    rendered = []
    real = broadcast._video_frames
    monkeypatch.setattr(
        broadcast,
        "_video_frames",
        lambda plan, options: (rendered.append(plan.video_id), real(plan, options))[1],
    )

    def render(options):
        rendered.clear()
        generate(options=options, videos_dir=tmp_path, num_workers=1, progress=None)
        return list(rendered)

    assert render(options) == ["sim000", "sim001", "sim002"]
    assert render(options) == []
    # The judges' noise is not in the picture.
    assert render(options.replaced(noise_law="mid_peak")) == []
    assert render(options.replaced(crf=30)) == ["sim000", "sim001", "sim002"]
    (tmp_path / "sim001.mp4").write_bytes(b"no video")
    assert render(options.replaced(crf=30)) == ["sim001"]


def test_what_a_kill_left_of_a_video_is_removed(tmp_path):
    left = half_written(tmp_path / "sim000.mp4")
    (tmp_path / "notes.txt").write_text("the user's")
    options = simdive_options(num_dives=2, dives_per_video=1)
    generate(options=options, videos_dir=tmp_path, num_workers=1, progress=None)
    assert not left.exists()
    assert sorted(contents(tmp_path)) == ["notes.txt", "sim000.mp4", "sim001.mp4"]


def test_an_interrupted_video_leaves_the_old_one_alone(tmp_path, monkeypatch):
    options = simdive_options(num_dives=2, dives_per_video=1)
    generate(options=options, videos_dir=tmp_path, num_workers=1, progress=None)
    before = contents(tmp_path)
    real = broadcast._video_frames

    def breaks_off(plan, options):
        frames = real(plan, options)
        for _ in range(5):
            yield next(frames)
        raise KeyboardInterrupt

    monkeypatch.setattr(broadcast, "_video_frames", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        generate(
            options=options.replaced(crf=30), videos_dir=tmp_path, num_workers=1, progress=None
        )
    after = contents(tmp_path)
    assert {name: data for name, data in after.items() if name.endswith(".mp4")} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_dives": 1}, "num_dives: 1 is out of range; expected a number >= 2 and <= 1000000"),
        ({"width": 455}, r"width: 455; expected an even number that is not below the height \(64"),
        ({"width": 62}, r"width: 62; expected an even number that is not below the height \(64\)"),
        ({"height": 63}, "height: 63; expected an even number"),
        ({"height": 30}, "height: 30 is out of range; expected a number >= 32 and <= 8192"),
        ({"test_fraction": 1.0}, "test_fraction: 1.0 is out of range; .* >= 0.001 and <= 0.999"),
        ({"crf": 52}, "crf: 52 is out of range; expected a number >= 0 and <= 51"),
        ({"noise_law": "flat"}, "noise_law: 'flat' is not .* expected one of: monotone, mid_peak"),
        ({"replay_probability": -0.1}, "replay_probability: -0.1 is out of .* >= 0 and <= 1"),
        ({"max_gap_seconds": 0.1}, r"max_gap_seconds: 0.1; .* at least min_gap_seconds \(0.5\)"),
        ({"dives_per_video": 5}, r"dives_per_video: 5; expected at most num_dives - 1 \(4\), so"),
    ],
)
def test_options_out_of_range_are_refused(change, message):
    with pytest.raises(ParamsError, match=message):
        simdive_options(**change)


def test_frame_ranges_dives_and_marks_are_pinned():
    """A dataset that changes unseen changes every result; so its tables are written down here."""
    annotations, truth = tables(options=OPTIONS)
    columns = ["start_frame", "end_frame", "action_class", "split", "judge_scores", "final_score"]
    assert annotations[columns].to_numpy().tolist() == [
        [42, 131, "109C", "train", "6.5;7;7;7;6;7;7", 77.70],
        [168, 256, "205B", "train", "8;8;8.5;7.5;7.5;7.5;9", 68.15],
        [46, 129, "107B", "train", "5;4.5;5.5;4.5;5.5;4.5;5", 43.50],
        [257, 342, "407C", "train", "9;9;9;9;9;9;9", 86.40],
        [48, 128, "107B", "test", "7.5;8;7.5;7;8;7.5;8", 69.00],
    ]
    known = truth.set_index("sample_id").loc["sim001_00"]
    expected = {
        "true_execution": 13.227931,
        "true_final": 39.683793,
        "true_sigma_execution": 1.423683,
        "true_sigma_final": 4.271048,
        "quality": 0.546028,
        "fault_entry": 0.555134,
        "fault_splash": 0.359993,
        "fault_arms": 0.278343,
    }
    assert known[list(expected)].to_dict() == pytest.approx(expected, rel=1e-5)
