"""Extraction as a whole: right frames, resumable, damage contained, nothing written elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available
from tests.extraction.sample_table import table
from tests.half_written import half_written
from tests.numbered_videos import read_number

from dae_aqa.errors import ParamsError, VideoError
from dae_aqa.extraction.extract import ExtractionReport, extract_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.packs.store import PackedSample
from dae_aqa.video.numbering import reference_numbers
from dae_aqa.video.options import HWACCELS
from dae_aqa.video.probe import count_frames, video_index

Extract = Callable[..., ExtractionReport]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("videos_dir", "frames_dir", "cache_dir")}
    found["videos_dir"].mkdir()
    return found


def put(video: Path, folders: dict[str, Path], video_id: str) -> None:
    (folders["videos_dir"] / f"{video_id}{video.suffix}").symlink_to(video)


def numbers(pack: Path) -> list[int]:
    with PackedSample.open(pack) as sample:
        images = sample.read(range(sample.meta.num_frames))
    return [read_number(cv2.imdecode(np.frombuffer(i, np.uint8), 1)) for i in images]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_samples_hold_the_annotated_frames(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    for kind in ("h264_b", "hevc", "vp9"):
        put(numbered_video(kind), folders, kind)
    rows = table(
        ("a", "h264_b", 60, 90),
        ("b", "h264_b", 70, 100),
        ("c", "hevc", 0, 50),
        ("d", "vp9", 80, 120),
    )
    report = extract_samples(annotations=rows, options=options, **folders)
    assert (report.num_samples, report.num_extracted, report.num_reused) == (4, 4, 0)
    assert numbers(folders["frames_dir"] / "a.zip") == list(range(67, 93))
    assert numbers(folders["frames_dir"] / "b.zip") == list(range(77, 103))
    assert numbers(folders["frames_dir"] / "c.zip") == list(range(27, 53))
    assert numbers(folders["frames_dir"] / "d.zip") == list(range(97, 120))


def test_deleted_output_comes_back_from_the_cache_byte_for_byte(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    rows = table(("a", "v", 0, 40), ("b", "v", 50, 90))
    extract_samples(annotations=rows, options=options, **folders)
    before = contents(folders["frames_dir"])
    for path in folders["frames_dir"].iterdir():
        path.unlink()
    report = extract_samples(annotations=rows, options=options, **folders)
    assert (report.num_extracted, report.num_reused) == (0, 2)
    assert contents(folders["frames_dir"]) == before


def test_damaged_cache_entry_is_redone_and_the_output_shares_no_inode(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    rows = table(("a", "v", 0, 40), ("b", "v", 50, 90))
    extract_samples(annotations=rows, options=options, **folders)
    before = contents(folders["frames_dir"])
    entries = sorted((folders["cache_dir"] / "samples").iterdir())
    assert all(path.stat().st_nlink == 1 for path in entries)
    data = bytearray(entries[0].read_bytes())
    data[len(data) // 2] ^= 1
    entries[0].write_bytes(data)
    report = extract_samples(annotations=rows, options=options, **folders)
    assert (report.num_extracted, report.num_reused) == (1, 1)
    assert contents(folders["frames_dir"]) == before


def test_options_and_video_content_make_the_key(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    rows = table(("a", "v", 0, 40))
    extract_samples(annotations=rows, options=options, **folders)
    for change in (
        {"jpeg_quality": 80},
        {"width": 300},
        {"resize_filter": "bicubic"},
        {"margin_frames": 1},
    ):
        report = extract_samples(annotations=rows, options=options.replaced(**change), **folders)
        assert report.num_extracted == 1, change
    report = extract_samples(annotations=rows, options=options.replaced(num_workers=1), **folders)
    assert report.num_extracted == 0
    (folders["videos_dir"] / "v.mp4").unlink()
    put(numbered_video("h264_no_b"), folders, "v")
    report = extract_samples(annotations=rows, options=options, **folders)
    assert report.num_extracted == 1


def test_damage_costs_only_the_samples_that_touch_it(
    shared_dir: Path,
    numbered_video: Callable[[str], Path],
    folders: dict[str, Path],
    options: ExtractOptions,
) -> None:
    put(shared_dir / "videos" / "corrupted.mp4", folders, "broken")
    put(numbered_video("h264_b"), folders, "good")
    rows = table(
        ("early", "broken", 0, 23),
        ("late", "broken", 20, 45),
        ("fine", "good", 0, 40),
        ("gone", "no", 0, 40),
    )
    message = (
        r"2 of 4 samples cannot be extracted(.|\n)*damaged at frame 28(.|\n)*no video for video_id"
    )
    with pytest.raises(VideoError, match=message):
        extract_samples(annotations=rows, options=options, **folders)
    assert sorted(contents(folders["frames_dir"])) == ["early.zip", "fine.zip"]
    report = extract_samples(
        annotations=rows, options=options.replaced(damaged="exclude"), **folders
    )
    assert report.num_reused == 2
    assert list(report.excluded["sample_id"]) == ["gone", "late"]
    assert set(report.excluded["stage"]) == {"extract_frames"}


def test_truncated_file_is_damage_not_an_early_end(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    data = numbered_video("h264_mkv").read_bytes()
    (folders["videos_dir"] / "v.mkv").write_bytes(data[: len(data) // 2])
    kept = count_frames(folders["videos_dir"] / "v.mkv", numbering="decoded")
    assert 30 < kept < 90
    rows = table(("a", "v", 0, 30), ("b", "v", 90, 119), ("c", "v", kept - 25, kept + 1))
    report = extract_samples(
        annotations=rows,
        options=options.replaced(early_end="repeat_last", damaged="exclude"),
        **folders,
    )
    assert list(report.excluded["sample_id"]) == ["b", "c"]
    assert report.excluded["reason"].str.contains("cut off after frame").all()


def test_early_end_repeats_and_reports(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    rows = table(("a", "v", 100, 125))
    with pytest.raises(
        VideoError, match="needs frames 105 to 124, but the video has frames 0 to 119"
    ):
        extract_samples(annotations=rows, options=options, **folders)
    report = extract_samples(
        annotations=rows, options=options.replaced(early_end="repeat_last"), **folders
    )
    assert numbers(folders["frames_dir"] / "a.zip") == [*range(102, 120), *[119] * 5]
    assert report.notes["note"].tolist() == ["the last frame of the video is repeated 5 times"]


def test_reference_numbering_is_followed_and_reported(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    video = numbered_video("h264_variable_mkv")
    put(video, folders, "v")
    rows = table(("a", "v", 60, 100))
    report = extract_samples(
        annotations=rows,
        options=options.replaced(numbering="reference", margin_frames=0),
        **folders,
    )
    expected = reference_numbers(video_index(video))[80:100].tolist()
    assert numbers(folders["frames_dir"] / "a.zip") == expected
    assert "numberings differ" in report.notes["note"].item()


def test_ids_from_outside_do_not_leave_their_folder(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    with pytest.raises(VideoError, match="may hold letters, digits"):
        extract_samples(annotations=table(("../x", "v", 0, 40)), options=options, **folders)
    with pytest.raises(VideoError, match="is no file name"):
        extract_samples(annotations=table(("x", "../v", 0, 40)), options=options, **folders)
    assert not (folders["frames_dir"].parent / "x.zip").exists()


def test_a_video_edited_in_place_is_read_again(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    # Same name, same size, the same time of change of the content: the inode's is another.
    rows = table(("a", "v", 0, 40))
    video = folders["videos_dir"] / "v.mp4"
    video.write_bytes(numbered_video("h264_b").read_bytes())
    extract_samples(annotations=rows, options=options, **folders)
    before, data = video.stat(), bytearray(video.read_bytes())
    data[data.index(b"Lavf")] ^= 1  # the name of the muxer
    video.write_bytes(data)
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    report = extract_samples(annotations=rows, options=options, **folders)
    assert (report.num_extracted, report.num_reused) == (1, 0)


def test_half_written_samples_leave_the_output(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    half_written(folders["frames_dir"] / "a.zip")
    extract_samples(annotations=table(("a", "v", 0, 40)), options=options, **folders)
    assert sorted(contents(folders["frames_dir"])) == ["a.zip"]


def test_stale_samples_leave_the_output(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    extract_samples(annotations=table(("a", "v", 0, 40)), options=options, **folders)
    extract_samples(annotations=table(("b", "v", 0, 40)), options=options, **folders)
    assert sorted(contents(folders["frames_dir"])) == ["b.zip"]


@pytest.mark.slow
def test_a_kill_costs_nothing_that_was_finished(
    numbered_video: Callable[[str], Path], tmp_path: Path, options: ExtractOptions
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "v.mp4").symlink_to(numbered_video("h264_b"))
    rows = table(*((f"s{i:02d}", "v", 2 * i, 2 * i + 40) for i in range(16)))
    calm = {
        "videos_dir": videos,
        "frames_dir": tmp_path / "calm",
        "cache_dir": tmp_path / "calm_cache",
    }
    extract_samples(annotations=rows, options=options, **calm)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    code = (
        "import sys, pandas as pd; from pathlib import Path\n"
        "from dae_aqa.extraction.extract import extract_samples\n"
        "from dae_aqa.extraction.options import ExtractOptions\n"
        f"options = ExtractOptions(**{dict(options)!r})\n"
        "rows = pd.read_csv(sys.argv[1], dtype={'video_id': str})\n"
        "extract_samples(annotations=rows, options=options, videos_dir=Path(sys.argv[2]),"
        " frames_dir=Path(sys.argv[3]), cache_dir=Path(sys.argv[4]))\n"
    )
    work = {
        "videos_dir": videos,
        "frames_dir": tmp_path / "frames",
        "cache_dir": tmp_path / "cache",
    }
    finished: set[str] = set()
    for wait in (0.0, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "rows.csv"), *map(str, work.values())],
            stderr=subprocess.DEVNULL,
        )
        samples = work["cache_dir"] / "samples"
        before = len(finished)
        while process.poll() is None and len(list(samples.glob("[!.]*.zip"))) <= before:
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished = {path.name for path in samples.glob("[!.]*.zip")}
    report = extract_samples(annotations=rows, options=options, **work)
    assert report.num_reused >= len(finished) >= 2
    assert contents(work["frames_dir"]) == contents(calm["frames_dir"])


def test_missing_hardware_decoder_stops_the_run_instead_of_excluding_samples(
    numbered_video: Callable[[str], Path], folders: dict[str, Path], options: ExtractOptions
) -> None:
    put(numbered_video("h264_b"), folders, "v")
    missing = next(name for name in HWACCELS if name not in hwdevices_available())
    wanted = options.replaced(hwaccel=missing, damaged="exclude")
    with pytest.raises(ParamsError, match=f"hwaccel '{missing}' cannot decode"):
        extract_samples(annotations=table(("a", "v", 0, 40)), options=wanted, **folders)
