"""A small trained model, clips for it, and what it must say of them: computed past the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.inference.trained_model import TrainedModel, TrainingRange, Usage
from dae_aqa.models.build import build_model
from dae_aqa.models.normalization import IMAGENET
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.video.write import write_h264

# not scaled, so that an oracle can cut it by hand; 36 px with the jitter's margin
LAYOUT = ClipLayout(starts=(0, 3), num_frames=8, stride=1, crop_px=32, size_px=32, jitter_px=2)
WIDTH, HEIGHT = 48, 40
FRAMES = NumberedFrameOptions(
    num_frames=11,
    margin_frames=0,
    window="end",
    width=WIDTH,
    height=HEIGHT,
    resize_filter="bicubic",
    image_format="jpeg",
    jpeg_quality=92,
    early_end="error",
    numbering="decoded",
)
FRAMES_PER_SECOND = 10
MEAN, STD, SIGMA_SCALE = 24.0, 5.0, 1.5


def small_trained_model(
    model: str = "dae_mt",
    *,
    layout: ClipLayout = LAYOUT,
    has_difficulty: bool = True,
    seed: int = 0,
) -> TrainedModel:
    """Return a model with fixed weights that speaks in points of an execution score."""
    torch.manual_seed(seed)
    built = build_model(
        model=model,
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    ).eval()
    with torch.no_grad():  # a fresh network says nearly the same of everything
        built.head.net.fc1.weight.mul_(500)
    built.head.target_mean.fill_(MEAN)
    built.head.target_std.fill_(STD)
    built.head.sigma_scale.fill_(SIGMA_SCALE)
    usage = Usage(
        layout=layout,
        normalization=IMAGENET,
        has_difficulty=has_difficulty,
        frames=FRAMES,
        trained_on=TrainingRange(num_samples=9, final_score=(20.0, 90.0), difficulty=(1.5, 3.5)),
    )
    return TrainedModel(built, usage)


def write_clip(path: Path, *, seed: int = 0, num_frames: int = 25, black: bool = False) -> Path:
    """Write a video of 48x40 px, ten frames a second, of smooth noise, or of nothing."""
    rng = np.random.default_rng(seed)
    pictures = np.empty((num_frames, HEIGHT * 3 // 2, WIDTH), np.uint8)
    coarse = rng.integers(30, 226, (num_frames, HEIGHT // 8, WIDTH // 8), dtype=np.uint8)
    pictures[:, :HEIGHT] = coarse.repeat(8, axis=1).repeat(8, axis=2)
    pictures[:, HEIGHT:] = rng.integers(100, 156, (num_frames, 1, 1), dtype=np.uint8)
    if black:
        pictures[:, :HEIGHT], pictures[:, HEIGHT:] = 16, 128
    path.parent.mkdir(parents=True, exist_ok=True)
    write_h264(
        pictures,
        path,
        width=WIDTH,
        height=HEIGHT,
        fps=FRAMES_PER_SECOND,
        crf=10,
        comment="a clip for tests",
    )
    return path


def expected_scores(
    trained: TrainedModel, windows: np.ndarray, difficulty: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mu and sigma of the final score by `LAYOUT`: two clips of the centre square.

    Args:
        trained: the model.
        windows: uint8 RGB (N, 11, H, W, 3).
        difficulty: N degrees of difficulty.
    """
    height, width = windows.shape[2:4]
    top, left = (height - 32) // 2, (width - 32) // 2
    square = windows[:, :, top : top + 32, left : left + 32] / 255.0
    pixels = (square - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    clips = np.stack([pixels[:, 0:8], pixels[:, 3:11]], axis=1)  # (N, 2, 8, 32, 32, 3)
    inputs = torch.from_numpy(clips).float().permute(0, 1, 5, 2, 3, 4)
    with torch.no_grad():
        features = torch.stack([trained.model.backbone(clip) for clip in inputs])  # (N, 2, D)
        output = trained.model.head.net(features.mean(dim=1))
    factor = np.asarray(difficulty)
    mu = (MEAN + STD * output.values[:, 0].numpy()) * factor
    sigma = STD * SIGMA_SCALE * np.exp(0.5 * output.log_variance[:, 0].numpy()) * factor
    return mu, sigma
