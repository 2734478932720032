"""What torch and the loader are given in a training, seen through torch's own global hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.packed_samples import MARGIN, draw_frames
from tests.tiny_training import BRIGHTNESS, NUM_FRAMES, TinyData
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook

from dae_aqa.inference.familiarity import TrainingFeatures
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.heads.base import GaussianMlp
from dae_aqa.training import session
from dae_aqa.training.loop import FitResult
from dae_aqa.training.options import TrainingOptions


@dataclass(frozen=True)
class Pass:
    """One forward pass of the backbone.

    Attributes:
        clips: float32 (B, 3, T, S, S), as they enter.
        norms_training: modes of the batch norms.
        autocast: the lower precision, or None.
        channels_last: whether the convolutions' weights lie channels last.
        deterministic: whether torch refuses operations that do not repeat their bits.
    """

    clips: Tensor
    norms_training: set[bool]
    autocast: torch.dtype | None
    channels_last: bool
    deterministic: bool


@dataclass(frozen=True)
class Step:
    """One step of the optimizer, just before it is taken."""

    kind: type
    lr: float
    lrs: list[float]
    weight_decay: float
    num_tensors: int
    grad_norm: float


@dataclass
class Mode:
    """What happens with gradients (training), or without (validation), in order.

    Attributes:
        passes: of the backbone.
        outputs: raw means and log-variances of the head.
        dropouts: probabilities of the dropouts that act.
        num_convolutions: how often a convolution runs.
    """

    passes: list[Pass] = field(default_factory=list)
    outputs: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)
    dropouts: list[float] = field(default_factory=list)
    num_convolutions: int = 0

    @property
    def sizes(self) -> list[int]:
        """Clips per pass."""
        return [len(one.clips) for one in self.passes]


@dataclass
class Seen:
    """All that a training did, and what it ended with.

    Afterwards the model looks at its training samples once more (`last_look`).
    """

    train: Mode = field(default_factory=Mode)
    val: Mode = field(default_factory=Mode)
    steps: list[Step] = field(default_factory=list)
    trained: TrainedModel | None = None
    result: FitResult | None = None
    last_look: Mode = field(default_factory=Mode)
    is_over: bool = False

    @property
    def now(self) -> Mode:
        if self.is_over:
            return self.last_look
        return self.train if torch.is_grad_enabled() else self.val

    @property
    def history(self) -> pd.DataFrame:
        assert self.result is not None
        return self.result.history

    @property
    def head(self) -> nn.Module:
        assert self.trained is not None
        return self.trained.model.head


def watch(options: TrainingOptions, data: TinyData, folder: Path) -> Seen:
    """Train, and return what was seen."""
    with watching() as seen:
        seen.trained, seen.result = data.train(options, folder)
    return seen


@contextmanager
def watching() -> Iterator[Seen]:
    """Note what a training in the context does."""
    seen = Seen()

    def before_forward(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, Backbone):
            seen.now.passes.append(_pass(module, inputs[0]))
        seen.now.num_convolutions += isinstance(module, nn.Conv3d)

    def after_forward(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        del inputs
        if isinstance(module, GaussianMlp):
            mu, log_variance = (
                None if part is None else part.detach().double().numpy() for part in output
            )
            assert mu is not None
            seen.now.outputs.append((mu, log_variance))

    def before_step(optimizer: torch.optim.Optimizer, *_: object) -> None:
        seen.steps.append(_step(optimizer))

    dropout = nn.functional.dropout

    def noting_dropout(values: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
        if training and p:
            seen.now.dropouts.append(p)
        return dropout(values, p, training)

    training_features = session.training_features

    def after_the_last_epoch(*arguments: Any, **options: Any) -> TrainingFeatures | None:
        seen.is_over = True
        return training_features(*arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nn.functional, "dropout", noting_dropout)
        patched.setattr(session, "training_features", after_the_last_epoch)
        handles = [
            register_module_forward_pre_hook(before_forward),
            register_module_forward_hook(after_forward),
            register_optimizer_step_pre_hook(before_step),
        ]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()


def _pass(backbone: Backbone, clips: Tensor) -> Pass:
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv3d)]
    lowered = torch.is_autocast_enabled("cpu")
    return Pass(
        clips=clips.detach().clone(),
        norms_training={m.training for m in backbone.modules() if isinstance(m, nn.BatchNorm3d)},
        autocast=torch.get_autocast_dtype("cpu") if lowered else None,
        channels_last=all(
            conv.weight.is_contiguous(memory_format=torch.channels_last_3d) for conv in convolutions
        ),
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )


def _step(optimizer: torch.optim.Optimizer) -> Step:
    groups = optimizer.param_groups
    tensors = [tensor for group in groups for tensor in group["params"]]
    squares = [p.grad.double().square().sum() for p in tensors if p.grad is not None]
    return Step(
        kind=type(optimizer),
        lr=float(groups[-1]["lr"]),
        lrs=[float(group["lr"]) for group in groups],
        weight_decay=float(groups[-1]["weight_decay"]),
        num_tensors=len(tensors),
        grad_norm=float(torch.stack(squares).sum().sqrt()),
    )


def names_in(
    clips: Tensor, *, per_sample: int = 1, brightness: Mapping[str, float] = BRIGHTNESS
) -> list[str]:
    """Return the samples in clips that are scaled to -1 … 1, told by their brightness."""
    names = list(brightness)
    known = np.array([40 + 170 * brightness[name] for name in names])
    means = ((clips[::per_sample] + 1) * 127.5).mean(dim=(1, 2, 3, 4)).numpy()
    return [names[int(np.abs(known - mean).argmin())] for mean in means]


def pixels(
    name: str,
    *,
    window: int = NUM_FRAMES,
    start: int = 0,
    num_frames: int = 8,
    stride: int = 1,
    crop_px: int = 32,
    down_px: int = 0,
    right_px: int = 0,
    flip: bool = False,
) -> np.ndarray:
    """Return a clip of a tiny sample in 0 … 1, (3, T, S, S), cut as one would with a ruler.

    Args:
        name: the sample.
        window: frames of its window.
        start: the clip's first frame within the window; may lie in the margin.
        num_frames: of the clip.
        stride: from one frame of the clip to the next.
        crop_px: side of the square.
        down_px: how far the square lies below the centre.
        right_px: how far it lies to the right.
        flip: whether it is mirrored afterwards.
    """
    frames = draw_frames(name, num_frames=window, brightness=BRIGHTNESS[name])
    rows = [MARGIN + start + stride * step for step in range(num_frames)]
    top = (frames.shape[1] - crop_px) // 2 + down_px
    left = (frames.shape[2] - crop_px) // 2 + right_px
    cut = frames[rows, top : top + crop_px, left : left + crop_px]
    cut = cut[:, :, ::-1] if flip else cut
    return cut.transpose(3, 0, 1, 2) / 255.0
