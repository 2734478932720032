"""A small trained model, and what it must say of windows: computed here, past the package's way."""

from __future__ import annotations

import numpy as np
import torch

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.build import build_model
from dae_aqa.models.normalization import IMAGENET

# not scaled, so that an oracle can cut it by hand; 36 px with the jitter's margin
LAYOUT = ClipLayout(starts=(0, 3), num_frames=8, stride=1, crop_px=32, size_px=32, jitter_px=2)
MEAN, STD, SIGMA_SCALE = 24.0, 5.0, 1.5


def small_trained_model(
    model: str = "dae_mt", *, layout: ClipLayout = LAYOUT, has_difficulty: bool = True
) -> TrainedModel:
    """Return a model with fixed weights that speaks in points of an execution score."""
    torch.manual_seed(0)
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
    return TrainedModel(built, layout, IMAGENET, has_difficulty)


def draw_windows(num_windows: int, *, height: int = 40, width: int = 48) -> np.ndarray:
    """Return uint8 RGB (N, 11, H, W, 3): noise that is dark at the upper left, bright opposite."""
    rng = np.random.default_rng(7)
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None]
    noise = rng.integers(0, 100, (num_windows, 11, height, width, 3))
    return (noise + 155 * slope / slope.max()).astype(np.uint8)


def expected_scores(
    trained: TrainedModel, windows: np.ndarray, difficulty: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mu and sigma of the final score by `LAYOUT`: two clips of the centre square."""
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
