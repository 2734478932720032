"""Speed of loading: from a stored sample to a clip tensor, against the released loader's way.

    python benchmarks/loader.py [--samples 12] [--work DIR]

One process, one thread. Released way, written anew: per frame, open a 640×360 JPEG with PIL, resize
to 455×256, crop 224×224, to a float tensor, normalise; then stack. Ours: one packed sample, JPEGs
of 455×256, decoded by torchvision, cropped on uint8; normalised as one tensor for the float way.
Also: size, cost and PSNR of image formats and qualities, for choosing one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from _common import markdown_table, plain_meta, write_result
from dae_aqa.clips.dataset import scale_frames
from dae_aqa.clips.decode import decode_frames
from dae_aqa.clips.layout import PUBLISHED_LAYOUT
from dae_aqa.packs.store import PackedSample, write_packed_sample

FRAMES, SIZE, STORED, CROP = 103, (640, 360), (455, 256), 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_pictures(seed: int) -> list[np.ndarray]:
    """Return FRAMES pictures (360, 640, 3) uint8 RGB: a scene, a moving body, a little noise."""
    rng = np.random.default_rng(seed)
    # Mostly grey, as broadcasts are: the images get the size of those of real clips (20 to 30 kB).
    grey = rng.integers(30, 200, (18, 32, 1))
    small = (grey + rng.integers(-25, 25, (18, 32, 3))).astype(np.uint8)
    scene = cv2.resize(small, SIZE, interpolation=cv2.INTER_CUBIC)
    for _ in range(15):
        start, end = rng.integers(0, SIZE[0], 2).tolist(), rng.integers(0, SIZE[0], 2).tolist()
        cv2.line(scene, start, end, rng.integers(0, 256, 3).tolist(), 2, cv2.LINE_AA)
    pictures = []
    for frame in range(FRAMES):
        picture = np.roll(scene, 2 * frame, axis=1).copy()
        centre = (150 + 3 * frame, 80 + 2 * frame)
        cv2.ellipse(picture, centre, (40, 15), 9 * frame, 0, 360, (200, 150, 120), -1, cv2.LINE_AA)
        noise = rng.normal(0, 1.3, (*picture.shape[:2], 1)).astype(np.float32)
        pictures.append(np.clip(picture + noise, 0, 255).astype(np.uint8))
    return pictures


def encode(picture: np.ndarray, suffix: str, params: list[int]) -> bytes:
    """Return an RGB picture compressed by OpenCV."""
    return bytes(cv2.imencode(suffix, picture[:, :, ::-1], params)[1])


def jpeg_params(quality: int, sampling: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420) -> list[int]:
    """Return OpenCV's JPEG parameters."""
    return [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]


def write_samples(folder: Path, count: int) -> None:
    """Write `count` samples both as loose 640×360 JPEGs and as packed 455×256 ones."""
    for index in range(count):
        pictures = make_pictures(index)
        loose = folder / f"loose{index}"
        loose.mkdir()
        for frame, picture in enumerate(pictures):
            (loose / f"{frame + 1:06d}.jpg").write_bytes(encode(picture, ".jpg", jpeg_params(90)))
        small = [cv2.resize(p, STORED, interpolation=cv2.INTER_AREA) for p in pictures]
        meta = plain_meta(f"s{index}", num_frames=FRAMES, size=STORED)
        images = [encode(picture, ".jpg", jpeg_params(90)) for picture in small]
        write_packed_sample(folder / f"s{index}.zip", meta=meta, images=images)


def released_way(folder: Path, index: int) -> torch.Tensor:
    """Return (T, 3, 224, 224) float32, as the released loader makes it."""
    steps = v2.Compose(
        [v2.CenterCrop(CROP), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    )
    normalise = v2.Normalize(MEAN, STD)
    frames = []
    for path in sorted((folder / f"loose{index}").glob("*.jpg")):
        image = Image.open(path).convert("RGB").resize(STORED)
        frames.append(normalise(steps(image)))
    return torch.stack(frames)


def ours_uint8(folder: Path, index: int) -> torch.Tensor:
    """Return (T, 3, 224, 224) uint8."""
    with PackedSample.open(folder / f"s{index}.zip") as sample:
        images = sample.read(range(FRAMES))
        frames = torch.empty((len(images), 3, CROP, CROP), dtype=torch.uint8)
        for place, image in enumerate(decode_frames(images)):
            frames[place] = scale_frames(image[None], PUBLISHED_LAYOUT)[0]
        return frames


def ours_float(folder: Path, index: int) -> torch.Tensor:
    """Return (T, 3, 224, 224) float32, normalised as one tensor."""
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    std = torch.tensor(STD).view(3, 1, 1) * 255
    return ours_uint8(folder, index).to(torch.float32).sub_(mean).div_(std)


def seconds_per_sample(
    ways: dict[str, Callable[[Path, int], torch.Tensor]], folder: Path, count: int
) -> dict[str, float]:
    """Return the median CPU seconds per sample; the ways take turns, to meet the same load."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(count):
        for name, way in ways.items():
            start = time.process_time()
            way(folder, index)
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def compare_formats() -> list[dict[str, Any]]:
    """Return size, decoding cost and PSNR per image format and quality."""
    pictures = [cv2.resize(p, STORED, interpolation=cv2.INTER_AREA) for p in make_pictures(0)[::4]]
    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    formats: list[tuple[str, str, list[int]]] = [
        *((f"jpeg {q} 4:2:0", ".jpg", jpeg_params(q)) for q in (80, 85, 90, 95)),
        *((f"jpeg {q} 4:4:4", ".jpg", jpeg_params(q, full)) for q in (90, 95)),
        ("png", ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    ]
    rows = []
    for name, suffix, params in formats:
        start = time.process_time()
        images = [encode(picture, suffix, params) for picture in pictures]
        encoded = time.process_time()
        clip = torch.stack([*decode_frames(images)]).permute(0, 2, 3, 1).numpy()
        decoded = time.process_time()
        errors = (clip.astype(float) - np.stack(pictures)) ** 2
        psnr = 10 * np.log10(255**2 / errors.mean()) if errors.any() else float("inf")
        row = {"format": name, "kilobytes": sum(map(len, images)) / len(images) / 1000}
        row["encode_ms"] = (encoded - start) / len(images) * 1000
        row["decode_ms"] = (decoded - encoded) / len(images) * 1000
        rows.append({**row, "psnr_db": round(float(psnr), 2) if errors.any() else None})
    return rows


def main() -> None:
    """Time the ways, write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--work", type=Path, default=None, help="folder for the generated samples")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ways = {"released": released_way, "ours_uint8": ours_uint8, "ours_float": ours_float}
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        write_samples(Path(name), args.samples)
        for way in ways.values():
            way(Path(name), 0)  # warm up
        seconds = seconds_per_sample(ways, Path(name), args.samples)
    formats = compare_formats()
    result = {
        "num_samples": args.samples,
        "frames_per_sample": FRAMES,
        "cpu_seconds_per_sample": seconds,
        "samples_per_second_per_core": {name: 1 / value for name, value in seconds.items()},
        "times_faster": {name: seconds["released"] / value for name, value in seconds.items()},
        "formats": formats,
    }
    path = write_result("loader", result)
    rows = [(name, 1 / value, seconds["released"] / value) for name, value in seconds.items()]
    print(markdown_table(("way", "samples per second and core", "times faster"), rows))
    print(markdown_table(list(formats[0]), [list(row.values()) for row in formats]))
    print(path)


if __name__ == "__main__":
    main()
