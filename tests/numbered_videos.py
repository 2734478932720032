"""Videos whose frames show their own number as black and white cells, in many formats.

The number is read back from the picture alone, so it proves which frame one has got, whatever the
container says. Also used by `benchmarks/frame_identity.py` and `benchmarks/extraction_kills.py`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dae_aqa.video.ffmpeg import find_ffmpeg

WIDTH, HEIGHT, CELL = 160, 96, 16
NUM_BITS = 20  # written twice, the second time inverted: 40 of the 60 cells
COLUMNS = WIDTH // CELL


def numbered_picture(number: int) -> np.ndarray:
    """Return the picture of a number: (HEIGHT, WIDTH, 3) uint8, cells on a moving ramp."""
    ramp = (np.arange(WIDTH)[None, :] * 2 + np.arange(HEIGHT)[:, None] + number * 3) % 160 + 48
    picture = np.repeat(ramp[:, :, None], 3, axis=2).astype(np.uint8)
    bits = [number >> bit & 1 for bit in range(NUM_BITS)]
    for cell, bit in enumerate(bits + [1 - bit for bit in bits]):
        row, column = divmod(cell, COLUMNS)
        picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 255 * bit
    return picture


def read_number(picture: np.ndarray) -> int:
    """Return the number that a picture of any size shows, or -1 where it shows none."""
    height, width = picture.shape[:2]
    values = []
    for cell in range(2 * NUM_BITS):
        row, column = divmod(cell, COLUMNS)
        top, bottom = (row + 0.3) * CELL * height / HEIGHT, (row + 0.7) * CELL * height / HEIGHT
        left, right = (column + 0.3) * CELL * width / WIDTH, (column + 0.7) * CELL * width / WIDTH
        area = picture[round(top) : round(bottom), round(left) : round(right)]
        values.append(float(area.mean()))
    bits = [value > 127 for value in values]
    if any(a == b for a, b in zip(bits[:NUM_BITS], bits[NUM_BITS:], strict=True)):
        return -1
    return sum(bit << place for place, bit in enumerate(bits[:NUM_BITS]))


def all_frames(path: Path) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield `(number, frame)` for every frame: one thread decodes the whole video, and we count."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        yield from enumerate(container.decode(stream))


def pixels(frame: av.VideoFrame) -> np.ndarray:
    """Return a frame as coded, in its own size: (height, width, 3) uint8, RGB."""
    return frame.to_ndarray(format="rgb24")


def write_video(
    path: Path,
    *,
    codec: str,
    num_frames: int,
    rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pixel_format: str = "yuv420p",
    with_audio: bool = False,
) -> Path:
    """Encode pictures 0, 1, … to `path`; `times` (in `time_base`) make the rate variable."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.codec_context.thread_count = 1
        if time_base is not None:
            stream.codec_context.time_base = time_base
        audio = container.add_stream("aac", rate=8000, layout="mono") if with_audio else None
        for packet in _packets(stream, num_frames, times, time_base or 1 / rate):
            container.mux(packet)
        if audio is not None:
            _add_silence(container, audio, float(num_frames / rate))
    return path


def _packets(
    stream: av.VideoStream, num_frames: int, times: Sequence[int] | None, time_base: Fraction
) -> Iterator[av.Packet]:
    for number in range(num_frames):
        frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
        frame = frame.reformat(format=stream.pix_fmt)
        frame.pts = number if times is None else times[number]
        frame.time_base = time_base
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _add_silence(
    container: av.container.OutputContainer, stream: av.AudioStream, seconds: float
) -> None:
    for block in range(int(seconds * 8000 / 1024)):
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = 8000, block * 1024, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def remux(
    source: Path, target: Path, *, before: Sequence[str] = (), after: Sequence[str] = ()
) -> Path:
    """Copy a video's packets with the ffmpeg binary: cut it, shift it or change its container."""
    command = [find_ffmpeg(), "-v", "error", "-y", *before, "-i", str(source), "-c", "copy", *after]
    subprocess.run([*command, str(target)], check=True, capture_output=True)
    return target


def encode(path: Path, num_frames: int, options: str) -> Path:
    """Encode pictures 0, 1, … with the ffmpeg binary, which knows more encoders than PyAV."""
    pictures = b"".join(numbered_picture(number).tobytes() for number in range(num_frames))
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25"]
    command = [find_ffmpeg(), "-v", "error", "-y", *source, "-i", "-", *options.split(), str(path)]
    subprocess.run(command, input=pictures, check=True, capture_output=True)
    return path


def forge_x264_build(source: Path, target: Path, build: int) -> Path:
    """Copy an H.264 file and let its encoder call itself another build of x264.

    The name stands in the first packet alone. Decoders take builds below 34 to choose the motion of
    some blocks in B-pictures otherwise, so pixels depend on whether the decoder has seen the name.
    """
    data, count = re.subn(rb"x264 - core \d{3} ", b"x264 - core %-3d " % build, source.read_bytes())
    assert count == 1
    target.write_bytes(data)
    return target


def end_edit_early(source: Path, target: Path, *, seconds: int) -> Path:
    """Copy an MP4 file and let its edit list end after so many seconds; the rest is not shown."""
    data = bytearray(source.read_bytes())
    place = data.index(b"elst") + 12  # after version, flags and count, in ms
    data[place : place + 4] = (1000 * seconds).to_bytes(4, "big")
    target.write_bytes(data)
    return target


def uneven_times(num_frames: int, *, step: int, seed: int) -> list[int]:
    """Return increasing timestamps with steps of 1 to 3 times `step`."""
    steps = np.random.default_rng(seed).integers(step, 3 * step, num_frames)
    return [0, *np.cumsum(steps).tolist()[:-1]]


def hard_times(num_frames: int, *, gap_ms: int) -> list[int]:
    """Return timestamps in ms, 40 apart, but for all that makes ffmpeg repeat and drop frames.

    Five nearly coincide, of which it drops some: how many, depends on its threshold to 0.05 frames
    on either side. Then comes a gap, and the last three frames are late, the last by most.
    """
    even = [40 * number for number in range(10)] + [40 * number - 10 for number in range(10, 20)]
    bunch = [752, 755, 756, 758, 762]
    times = [*even, *bunch, *(762 + 40 * number for number in range(1, num_frames))][:num_frames]
    times[40:] = [time + gap_ms for time in times[40:]]
    return [*times[:-3], times[-3] + 52, times[-2] + 104, times[-1] + 196]


def cut_front(source: Path, target: Path, *, fraction: float) -> Path:
    """Copy a transport stream without its beginning, as a recording that began in the middle."""
    data = source.read_bytes()
    target.write_bytes(data[int(len(data) * fraction) // 188 * 188 :])
    return target


def _x264(extra: str = "", **settings: object) -> dict[str, str]:
    params = f"keyint=48:min-keyint=12:bframes=3:b-pyramid=normal:threads=1{extra}"
    return {
        "x264-params": params,
        "preset": "veryfast",
        "crf": "23",
        **{k: str(v) for k, v in settings.items()},
    }


_X265 = {
    "x265-params": "keyint=40:bframes=4:pools=1:frame-threads=1:log-level=none",
    "preset": "ultrafast",
}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "b": "300k", "g": "50", "threads": "1"}
_VP9_HIDDEN = {
    "deadline": "good",
    "cpu-used": "5",
    "b": "300k",
    "g": "60",
    "threads": "1",
    "auto-alt-ref": "1",
    "lag-in-frames": "16",
}

Maker = Callable[[Path, int], Path]


def _simple(name: str, codec: str, **settings: object) -> Maker:
    return lambda folder, count: write_video(
        folder / name,
        codec=codec,
        num_frames=count,
        **settings,  # type: ignore[arg-type]
    )


def _remuxed(
    maker: Maker, name: str, before: Sequence[str] = (), after: Sequence[str] = ()
) -> Maker:
    return lambda folder, count: remux(
        maker(folder, count), folder / name, before=before, after=after
    )


def _uneven(name: str, codec: str, **settings: object) -> Maker:
    return lambda folder, count: write_video(
        folder / name,
        codec=codec,
        num_frames=count,
        times=uneven_times(count, step=20, seed=1),
        time_base=Fraction(1, 1000),
        **settings,  # type: ignore[arg-type]
    )


def _timed(name: str, times: Callable[[int], list[int]], **settings: object) -> Maker:
    return lambda folder, count: write_video(
        folder / name,
        codec="libx264",
        num_frames=count,
        times=times(count),
        time_base=Fraction(1, 1000),
        options=_x264(":bframes=0"),
        **settings,  # type: ignore[arg-type]
    )


def _encoded(name: str, options: str) -> Maker:
    return lambda folder, count: encode(folder / name, count, options)


_H264 = _simple("h264_b.mp4", "libx264", options=_x264())
_OPEN = _simple("h264_open.mp4", "libx264", options=_x264(":open-gop=1"))
_MPEG4_B = _simple("mpeg4_b.mp4", "mpeg4", options={"bf": "2", "g": "40", "b": "900k"})

# Name -> how to make it. The frames show 0, 1, 2, … in the order in which they were encoded.
MAKERS: dict[str, Maker] = {
    "h264_b": _H264,
    "h264_open_gop": _OPEN,
    "h264_intra_refresh": _simple("h264_refresh.mp4", "libx264", options=_x264(":intra-refresh=1")),
    "h264_ntsc_audio": _simple(
        "h264_ntsc.mp4", "libx264", options=_x264(), rate=Fraction(30000, 1001), with_audio=True
    ),
    "h264_no_b": _simple("h264_p.mp4", "libx264", options=_x264(":bframes=0")),
    "h264_interlaced": _simple("h264_tff.mp4", "libx264", options=_x264(":tff=1")),
    "h264_422": _simple(
        "h264_422.mp4", "libx264", options=_x264(":open-gop=1"), pixel_format="yuv422p"
    ),
    "h264_444": _simple("h264_444.mp4", "libx264", options=_x264(), pixel_format="yuv444p"),
    "h264_10bit": _simple("h264_10bit.mkv", "libx264", options=_x264(), pixel_format="yuv420p10le"),
    "h264_interlaced_ts": _simple("h264_tff.ts", "libx264", options=_x264(":tff=1:open-gop=1")),
    "h264_mkv": _remuxed(_H264, "h264_b.mkv"),
    "h264_avi": _remuxed(_H264, "h264_b.avi"),
    "h264_mov": _remuxed(_H264, "h264_b.mov"),
    "h264_ts": _remuxed(_H264, "h264_b.ts"),
    "h264_flv": _remuxed(_H264, "h264_b.flv"),
    "h264_fragmented": _remuxed(
        _H264, "h264_f.mp4", after=["-movflags", "frag_keyframe+empty_moov"]
    ),
    "h264_raw": _remuxed(_H264, "h264_b.h264"),
    "h264_edit_list": _remuxed(_H264, "h264_cut.mp4", before=["-ss", "1.3"]),
    "h264_edit_list_end": lambda folder, count: end_edit_early(
        _H264(folder, count), folder / "edit_end.mp4", seconds=2
    ),
    "h264_open_gop_cut": _remuxed(_OPEN, "h264_open_cut.mkv", before=["-ss", "2.1"]),
    "h264_late_start": _remuxed(_H264, "h264_late.mp4", after=["-output_ts_offset", "3.7"]),
    "h264_late_start_mkv": _remuxed(_H264, "h264_late.mkv", after=["-output_ts_offset", "3.7"]),
    "h264_late_start_ts": _remuxed(_H264, "h264_late.ts", after=["-output_ts_offset", "3.7"]),
    "h264_variable": _uneven("h264_vfr.mp4", "libx264", options=_x264()),
    "h264_variable_mkv": _uneven("h264_vfr.mkv", "libx264", options=_x264()),
    "h264_hard_times_mkv": _timed("hard.mkv", lambda count: hard_times(count, gap_ms=82)),
    "h264_harder_times_mkv": _timed("harder.mkv", lambda count: hard_times(count, gap_ms=100)),
    "h264_late_video_mkv": _timed(
        "late_video.mkv",
        lambda count: [500 + 40 * number for number in range(count)],
        with_audio=True,
    ),
    "h264_ts_begun_late": lambda folder, count: cut_front(
        MAKERS["h264_interlaced_ts"](folder, count), folder / "begun_late.ts", fraction=0.2
    ),
    "hevc": _simple("hevc.mp4", "libx265", options=_X265),
    "hevc_mkv": _simple("hevc.mkv", "libx265", options=_X265),
    "hevc_closed": _simple(
        "hevc_closed.mp4",
        "libx265",
        options={**_X265, "x265-params": _X265["x265-params"] + ":open-gop=0"},
    ),
    "hevc_10bit": _simple("hevc_10bit.mkv", "libx265", options=_X265, pixel_format="yuv420p10le"),
    "hevc_fields": _simple(
        "hevc_fields.mkv",
        "libx265",
        options={**_X265, "x265-params": _X265["x265-params"] + ":interlace=tff"},
    ),
    "vp8_hidden": _simple("vp8.webm", "libvpx", options=_VP9_HIDDEN),
    "vp9": _simple("vp9.webm", "libvpx-vp9", options=_VP9),
    "vp9_hidden": _simple("vp9_hidden.webm", "libvpx-vp9", options=_VP9_HIDDEN),
    "vp9_mp4": _simple("vp9.mp4", "libvpx-vp9", options=_VP9),
    "mpeg4_b": _MPEG4_B,
    "mpeg4_avi": _simple("mpeg4_b.avi", "mpeg4", options={"bf": "2", "g": "40", "b": "900k"}),
    "mpeg4_no_b_avi": _simple("mpeg4_p.avi", "mpeg4", options={"g": "40", "b": "900k"}),
    "mpeg4_variable": _uneven("mpeg4_vfr.mp4", "mpeg4", options={"g": "40", "b": "900k"}),
    "mpeg4_interlaced": _encoded(
        "mpeg4_tff.mp4", "-c:v mpeg4 -flags +ildct+ilme -bf 2 -g 30 -b:v 900k"
    ),
    "mpeg4_interlaced_avi": _encoded(
        "mpeg4_tff.avi", "-c:v mpeg4 -flags +ildct+ilme -bf 2 -g 30 -b:v 900k"
    ),
    "mpeg4_packed": _encoded("mpeg4_packed.avi", "-c:v libxvid -bf 2 -g 40 -b:v 900k"),
    "mpeg2_interlaced_ts": _simple(
        "mpeg2_tff.ts",
        "mpeg2video",
        options={"bf": "2", "g": "15", "b": "2M", "flags": "ildct+ilme"},
    ),
    "mpeg2_422": _simple(
        "mpeg2_422.mkv", "mpeg2video", options={"bf": "2", "b": "4M"}, pixel_format="yuv422p"
    ),
    "mpeg2_ps": _simple("mpeg2.mpg", "mpeg2video", options={"bf": "2", "g": "15", "b": "2M"}),
    "av1": _encoded("av1.mkv", "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 40"),
    "vp9_10bit": _encoded(
        "vp9_10bit.webm",
        "-c:v libvpx-vp9 -pix_fmt yuv420p10le -deadline realtime -cpu-used 8 -g 40",
    ),
    "wmv": _encoded("wmv2.wmv", "-c:v wmv2 -g 40 -b:v 900k"),
    "prores": _encoded("prores.mov", "-c:v prores_ks -profile:v 0"),
    "mjpeg_mov": _simple("mjpeg.mov", "mjpeg", pixel_format="yuvj420p", options={"qscale": "3"}),
    "gif": _simple("numbered.gif", "gif", pixel_format="bgr8", rate=Fraction(20)),
}
