"""Written H.264 files: lossless at factor 0, the same bytes each time, with a comment."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dae_aqa.video.write import read_comment, write_h264

PICTURES = np.random.default_rng(0).integers(16, 236, (7, 72, 64), dtype=np.uint8)  # 48×64, 4:2:0


def write(path: Path, *, comment: str = "a digest", crf: int = 0) -> Path:
    write_h264(PICTURES, path, width=64, height=48, fps=30, crf=crf, comment=comment)
    return path


def test_pictures_come_back(tmp_path: Path) -> None:
    path = write(tmp_path / "folder" / "v.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 30)
        frames = [frame.to_ndarray(format="yuv420p") for frame in container.decode(stream)]
    assert np.array_equal(frames, PICTURES)
    assert [file.name for file in path.parent.iterdir()] == ["v.mp4"]


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a.mp4").read_bytes(), write(tmp_path / "b.mp4").read_bytes()
    assert first == again
    assert len(write(tmp_path / "c.mp4", crf=40).read_bytes()) < len(first) / 2


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="shape"):
        write_h264([PICTURES[0, :50]], path, width=64, height=48, fps=30, crf=0, comment="new")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_comments(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", comment="sha256 of the plan")
    assert read_comment(path) == "sha256 of the plan"
    assert read_comment(tmp_path / "none.mp4") is None
    path.write_bytes(path.read_bytes()[:100])
    assert read_comment(path) is None
