"""Write an H.264 file with a comment in its header, and read that comment again."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from dae_aqa.files.whole import written_whole


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
    """Return the comment in the header of the video at `path`, None where there is no readable one.

    No picture is decoded.
    """
    if not path.is_file():
        return None
    try:
        with av.open(str(path)) as container:
            return container.metadata.get("comment")
    except av.FFmpegError:
        return None
