"""Finding videos, counting their frames, and refusing what is no video."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from tests.numbered_videos import remux, write_video

from dae_aqa.errors import VideoError
from dae_aqa.video.ffmpeg import run_released_command
from dae_aqa.video.probe import count_frames, find_video, seconds_to_frame, video_index


def test_a_real_clip_is_counted(shared_dir: Path) -> None:
    path = shared_dir / "videos" / "skiing_h264.mp4"
    assert count_frames(path, numbering="decoded") == 300
    assert count_frames(path, numbering="reference") == 300
    assert seconds_to_frame(path, 10.0, numbering="decoded") == 300  # its end, at 30 per second
    assert not video_index(path).is_variable_rate


@pytest.mark.parametrize(
    ("kind", "num_reference"),
    [("h264_variable_mkv", 120), ("h264_variable", 121), ("h264_harder_times_mkv", 123)],
)
def test_counts_where_the_rate_varies(
    kind: str, num_reference: int, numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    path = numbered_video(kind)
    assert video_index(path).is_variable_rate
    assert count_frames(path, numbering="decoded") == 120
    small: dict[str, str | int] = {"s": "16x16", "loglevel": "error"}
    written = run_released_command(video=path, frames_dir=tmp_path, options=small)
    assert count_frames(path, numbering="reference") == written == num_reference


def test_rounded_timestamps_are_no_variable_rate(
    numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    # 29.97 frames per second: 33 and 34 ms in MKV, 2970 and 3060 units of a transport stream
    rounded = remux(numbered_video("h264_ntsc_audio"), tmp_path / "rounded.mkv")
    assert not video_index(rounded).is_variable_rate
    assert not video_index(remux(rounded, tmp_path / "rounded.ts")).is_variable_rate
    times = [40 * number + (number == 7) for number in range(30)]
    uneven = write_video(
        tmp_path / "uneven.mkv",
        codec="mpeg4",
        num_frames=30,
        times=times,
        time_base=Fraction(1, 1000),
    )
    assert video_index(uneven).is_variable_rate


def test_the_reference_is_not_known_for_mpeg_streams_of_variable_rate(
    numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    path = remux(numbered_video("h264_variable"), tmp_path / "v.ts")
    assert video_index(path).is_variable_rate
    assert count_frames(path, numbering="decoded") == 120
    with pytest.raises(VideoError, match="its frame rate varies and it is an MPEG transport"):
        count_frames(path, numbering="reference")
    even = remux(numbered_video("h264_b"), tmp_path / "even.ts")
    assert count_frames(even, numbering="reference") == 120


def test_an_index_is_remembered_until_the_file_changes(
    numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "v.mkv"
    path.write_bytes(numbered_video("h264_mkv").read_bytes())
    first = video_index(path)
    assert video_index(path) is first
    path.write_bytes(numbered_video("h264_variable_mkv").read_bytes())
    assert video_index(path).is_variable_rate


@pytest.mark.parametrize("kind", ["h264_b", "h264_late_start_mkv", "h264_ts", "mpeg4_b", "vp9"])
@pytest.mark.parametrize("numbering", ["decoded", "reference"])
def test_seconds_become_the_frame_on_screen(
    kind: str, numbering: str, numbered_video: Callable[[str], Path]
) -> None:
    path = numbered_video(kind)
    for seconds, frame in (
        (0.0, 0),
        (0.038, 0),
        (0.04, 1),
        (1.0, 25),
        (4.758, 118),
        (4.8, 120),
        (5.0, 125),
    ):
        assert seconds_to_frame(path, seconds, numbering=numbering) == frame  # type: ignore[arg-type]
    with pytest.raises(VideoError, match="must be >= 0 seconds, got -1"):
        seconds_to_frame(path, -1, numbering="decoded")


def test_seconds_in_a_video_that_begins_after_its_sound(
    numbered_video: Callable[[str], Path],
) -> None:
    # Time 0 is the sound's start, the first of 120 frames comes at 0.5 s. ffmpeg shows it from 0
    # on, in 13 images more, so that image n always lies at n / 25 s.
    path = numbered_video("h264_late_video_mkv")
    for seconds, decoded, reference in ((0.0, 0, 0), (0.45, 0, 11), (0.7, 5, 17), (2.02, 38, 50)):
        assert seconds_to_frame(path, seconds, numbering="decoded") == decoded
        assert seconds_to_frame(path, seconds, numbering="reference") == reference


def test_seconds_in_a_recording_that_begins_with_pictures_that_cannot_be_decoded(
    numbered_video: Callable[[str], Path],
) -> None:
    # Its container begins 1.08 s before the first frame that comes out, which is ffmpeg's image 1.
    path = numbered_video("h264_ts_begun_late")
    for seconds, frame in ((0.0, 0), (1.09, 0), (1.13, 1), (2.09, 25)):
        assert seconds_to_frame(path, seconds, numbering="decoded") == frame
        assert seconds_to_frame(path, seconds, numbering="reference") == frame


def test_a_time_that_was_rounded_down_is_still_the_frame_that_it_means(
    numbered_video: Callable[[str], Path],
) -> None:
    # Frame 5 at 30000/1001 per second begins at 0.16683 s; annotators write 0.166.
    path = numbered_video("h264_ntsc_audio")
    assert seconds_to_frame(path, 0.166, numbering="decoded") == 5
    assert seconds_to_frame(path, 0.1655, numbering="decoded") == 4


def test_find_video(tmp_path: Path) -> None:
    (tmp_path / "a.MP4").touch()
    (tmp_path / "b.mp4").touch()
    (tmp_path / "b.mov").touch()
    (tmp_path / "c.txt").touch()
    assert find_video(tmp_path, "a").name == "a.MP4"
    with pytest.raises(VideoError, match=r"several videos for video_id 'b': b.mov, b.mp4"):
        find_video(tmp_path, "b")
    with pytest.raises(VideoError, match="no video for video_id 'c'"):
        find_video(tmp_path, "c")
    for bad in ("../a", "/etc/passwd", "..", ""):
        with pytest.raises(VideoError, match="is no file name"):
            find_video(tmp_path, bad)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile 'secret.mp4'\n",
        b"not a video",
        b"",
    ],
)
def test_playlists_and_other_files_are_refused(
    content: bytes, tmp_path: Path, numbered_video: Callable[[str], Path]
) -> None:
    (tmp_path / "secret.mp4").write_bytes(numbered_video("h264_b").read_bytes())
    path = tmp_path / "list.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        video_index(path)


def test_a_name_is_never_a_protocol_or_a_pattern(tmp_path: Path) -> None:
    for name in ("concat:a.mp4|b.mp4", "http://localhost/x.mp4", "%06d.mp4"):
        with pytest.raises(VideoError, match="no such video file"):
            video_index(Path(name))
