"""Write an H.264 file with a comment in its header, and read that comment again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from dae_aqa.errors import VideoError
from dae_aqa.files.whole import written_whole
from dae_aqa.video.container import open_video


def write_h264(
    frames: Iterable[npt.NDArray[np.uint8]],
    path: Path,
    *,
    width: int,
    height: int,
    fps: int,
    crf: int,
    comment: str,
) -> None:
    """Write `frames` to `path` as H.264 in MP4; the same frames give the same bytes.

    The file appears complete or not at all.

    Args:
        frames: planar YUV 4:2:0 pictures, (3/2 height, width) uint8.
        path: the file; its folder is made.
        width: in pixels, even.
        height: in pixels, even.
        fps: frames per second.
        crf: constant rate factor, 0 (lossless) to 51 (worst).
        comment: text that `read_comment` returns.
    """
    with (
        written_whole(path) as part,
        av.open(str(part), "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.options = {"preset": "ultrafast", "crf": str(crf), "threads": "1"}
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_comment(path: Path) -> str | None:
    """Return the comment in the header of a video, or None where there is none that can be read."""
    with suppress(VideoError), open_video(path) as (container, _):
        return container.metadata.get("comment")
    return None
