"""Inception I3D (RGB) as both published PyTorch ports compute it.

Source: Carreira and Zisserman 2017, "Quo Vadis, Action Recognition?", arXiv 1705.07750, figure 3;
TensorFlow's SAME padding. The two ports, known by the names of their parameters:

- `inception` (`Conv3d_1a_7x7.conv3d.weight`, …): pads by the size of its input, as TensorFlow does;
  batch norm with eps 1e-3. The released DAE and MUSDL checkpoints have this layout.
- `model_rgb` (`conv3d_1a_7x7.conv3d.weight`, …): pads by kernel and stride alone and lets pooling
  run past the end; batch norm with eps 1e-5. CoRe and later work use it.

They agree in padding where every stage has an even size, as at 224 px, and differ elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.normalization import IMAGENET
from dae_aqa.models.options import BACKBONES, I3dLayout, ModelSpec

Size3 = tuple[int, int, int]


@dataclass(frozen=True)
class Layout:
    """What one port computes differently."""

    pads_by_size: bool
    ceil_pooling: bool
    bn_eps: float
    bn_momentum: float


LAYOUTS: dict[I3dLayout, Layout] = {
    "inception": Layout(pads_by_size=True, ceil_pooling=False, bn_eps=1e-3, bn_momentum=0.01),
    "model_rgb": Layout(pads_by_size=False, ceil_pooling=True, bn_eps=1e-5, bn_momentum=0.1),
}

# Per Inception block: input width, then widths of 1x1 | 1x1 → 3x3 | 1x1 → 3x3 | pool → 1x1.
_MIXED: dict[str, tuple[int, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}


def _same_pads(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], layout: Layout
) -> list[tuple[int, int]]:
    """Return (front, back) zeros per axis of TensorFlow's SAME padding, as the port has it."""
    pads = []
    for length, width, step in zip(size, kernel, stride, strict=True):
        rest = length % step if layout.pads_by_size else 0
        total = max(width - (rest or step), 0)
        pads.append((total // 2, total - total // 2))
    return pads


def _pad(x: Tensor, pads: list[tuple[int, int]]) -> Tensor:
    flat = [amount for pair in reversed(pads) for amount in pair]  # F.pad starts at the last axis
    return F.pad(x, flat) if any(flat) else x


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, ReLU.

    With fixed statistics, in evaluation or frozen, the batch norm is an affine map per channel and
    part of the convolution's weights: the same function of the same parameters, without a pass over
    the activations and without keeping them for the backward pass.
    """

    def __init__(
        self, in_width: int, width: int, *, kernel: Size3, stride: Size3, layout: Layout
    ) -> None:
        super().__init__()
        self.layout = layout
        # At stride 1 SAME padding is symmetric: the convolution does it without a copy.
        self.pads_itself = stride == (1, 1, 1)
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2) if self.pads_itself else 0
        self.conv3d = nn.Conv3d(in_width, width, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm3d(width, eps=layout.bn_eps, momentum=layout.bn_momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return activations (B, width, …) of x (B, in_width, T, H, W)."""
        kernel, stride = self.conv3d.kernel_size, self.conv3d.stride
        if not self.pads_itself:
            x = _pad(x, _same_pads(x.shape[2:], kernel, stride, self.layout))
        if self.bn.training:
            return F.relu(self.bn(self.conv3d(x)), inplace=True)
        weight, bias = self.affine()
        return F.relu(F.conv3d(x, weight, bias, stride, self.conv3d.padding), inplace=True)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of convolution and batch norm in one, for fixed statistics."""
        mean, variance = self.bn.running_mean, self.bn.running_var
        assert mean is not None
        assert variance is not None
        gain = self.bn.weight * torch.rsqrt(variance + self.bn.eps)
        bias = self.bn.bias - mean * gain
        return self.conv3d.weight * gain.view(-1, 1, 1, 1, 1), bias


class SamePool(nn.Module):
    """Maximum pooling with SAME padding by zeros; its input is never negative (after ReLU)."""

    def __init__(self, *, kernel: Size3, stride: Size3, layout: Layout) -> None:
        super().__init__()
        self.kernel, self.stride, self.layout = kernel, stride, layout

    def forward(self, x: Tensor) -> Tensor:
        """Return maxima (B, C, …) of x (B, C, T, H, W), x >= 0."""
        ceil_mode = self.layout.ceil_pooling
        pads = _same_pads(x.shape[2:], self.kernel, self.stride, self.layout)
        counts = _window_counts(x.shape[2:], self.kernel, self.stride, pads, ceil_mode=ceil_mode)
        if x.is_cuda and torch.are_deterministic_algorithms_enabled():
            fronts = [front for front, _ in pads]
            return repeatable_max_pool(x, self.kernel, self.stride, fronts=fronts, counts=counts)
        # Padding by -inf equals padding by 0 where nothing is negative. So windows may run past the
        # end, and nothing is copied, unless that gives another number of windows.
        even = [(front, front) for front, _ in pads]
        if counts == _window_counts(x.shape[2:], self.kernel, self.stride, even, ceil_mode=True):
            padding = [front for front, _ in pads]
            return F.max_pool3d(x, self.kernel, self.stride, padding, ceil_mode=True)
        return F.max_pool3d(_pad(x, pads), self.kernel, self.stride, ceil_mode=ceil_mode)


def _window_counts(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Sequence[tuple[int, int]],
    *,
    ceil_mode: bool,
) -> list[int]:
    """Return the number of pooling windows per axis, as torch counts them."""
    counts = []
    for length, width, step, (front, back) in zip(size, kernel, stride, pads, strict=True):
        room = length + front + back - width
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and (count - 1) * step >= length + front:
            count -= 1  # a window that would begin behind the last element
        counts.append(count)
    return counts


def repeatable_max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    *,
    fronts: Sequence[int],
    counts: Sequence[int],
) -> Tensor:
    """Return maxima over windows, with a backward pass that gives the same bits every time.

    On CUDA the backward pass of `F.max_pool3d` adds up gradients in the order in which threads
    arrive. Here each axis is pooled in turn, from the last to the first, as a chain of choices
    between two slices. Of equal values the first in (t, h, w) order gets the gradient, as there.

    Args:
        x: activations (B, C, T, H, W).
        kernel: lengths of the windows (T, H, W).
        stride: steps from window to window (T, H, W).
        fronts: by how much the first window begins before the first element (T, H, W).
        counts: numbers of windows (T, H, W); the last one may run past the end.
    """
    for axis in (4, 3, 2):
        width, step, front = (values[axis - 2] for values in (kernel, stride, fronts))
        span = (counts[axis - 2] - 1) * step + 1  # from the first window's begin to the last's
        back = span - 1 + width - front - x.shape[axis]  # below 0: elements that no window reaches
        if front or back:
            x = F.pad(x, [0, 0] * (4 - axis) + [front, back], value=-torch.inf)
        whole = (slice(None),) * axis
        x, *others = (x[(*whole, slice(first, first + span, step))] for first in range(width))
        for other in others:
            x = torch.where((other > x) | other.isnan(), other, x)
    return x


class Mixed(nn.Module):
    """An Inception block: four branches, joined along the channels."""

    def __init__(
        self, in_width: int, widths: tuple[int, int, int, int, int, int], *, layout: Layout
    ) -> None:
        super().__init__()
        one, three, unit = (1, 1, 1), (3, 3, 3), (1, 1, 1)

        def conv(source: int, width: int, kernel: Size3) -> ConvUnit:
            return ConvUnit(source, width, kernel=kernel, stride=unit, layout=layout)

        self.b0 = conv(in_width, widths[0], one)
        self.b1a = conv(in_width, widths[1], one)
        self.b1b = conv(widths[1], widths[2], three)
        self.b2a = conv(in_width, widths[3], one)
        self.b2b = conv(widths[3], widths[4], three)
        self.b3a = SamePool(kernel=three, stride=unit, layout=layout)
        self.b3b = conv(in_width, widths[5], one)

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined branches (B, sum of widths, T, H, W)."""
        first, second, third = self._pointwise(x)
        branches = (first, self.b1b(second), self.b2b(third), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)

    def _pointwise(self, x: Tensor) -> Sequence[Tensor]:
        """Return what the three 1x1 convolutions that read x itself give; from one, if fixed."""
        units = (self.b0, self.b1a, self.b2a)
        if self.b0.bn.training:
            return [unit(x) for unit in units]
        weights, biases = zip(*(unit.affine() for unit in units), strict=True)
        joined = F.relu(F.conv3d(x, torch.cat(weights), torch.cat(biases)), inplace=True)
        return torch.split(joined, [len(weight) for weight in weights], dim=1)


class I3D(Backbone):
    """Inception I3D up to its last block; features are the mean over time and space.

    The published code averages windows of 2 x 7 x 7; at 16 frames of 224 px that is the whole, and
    the mean over everything is its natural meaning at other sizes.

    Args:
        layout: which port; with other weights than its own, features are wrong.
    """

    feature_dim = 1024
    normalization = IMAGENET  # Source: the released DAE code
    min_clip = BACKBONES["i3d"].min_clip

    def __init__(self, *, layout: I3dLayout) -> None:
        super().__init__()
        self.layout = layout
        rules = LAYOUTS[layout]

        def conv(source: int, width: int, kernel: int, stride: int) -> ConvUnit:
            size, step = (kernel, kernel, kernel), (stride, stride, stride)
            return ConvUnit(source, width, kernel=size, stride=step, layout=rules)

        def pool(kernel: Size3, stride: Size3) -> SamePool:
            return SamePool(kernel=kernel, stride=stride, layout=rules)

        def mixed(*names: str) -> list[tuple[str, nn.Module]]:
            return [(name, Mixed(*_MIXED[name], layout=rules)) for name in names]

        steps: list[tuple[str, nn.Module]] = [
            ("Conv3d_1a_7x7", conv(3, 64, 7, 2)),  # T, H, W → T/2, H/2, W/2
            ("MaxPool3d_2a_3x3", pool((1, 3, 3), (1, 2, 2))),
            ("Conv3d_2b_1x1", conv(64, 64, 1, 1)),
            ("Conv3d_2c_3x3", conv(64, 192, 3, 1)),
            ("MaxPool3d_3a_3x3", pool((1, 3, 3), (1, 2, 2))),
            *mixed("Mixed_3b", "Mixed_3c"),
            ("MaxPool3d_4a_3x3", pool((3, 3, 3), (2, 2, 2))),
            *mixed("Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f"),
            ("MaxPool3d_5a_2x2", pool((2, 2, 2), (2, 2, 2))),
            *mixed("Mixed_5b", "Mixed_5c"),  # (B, 1024, T/8, H/32, W/32)
        ]
        for name, step in steps:
            self.add_module(name, step)
        self._steps = tuple(name for name, _ in steps)

    def encode(self, clips: Tensor) -> Tensor:
        """Return features (B, 1024) of clips (B, 3, T, H, W)."""
        x = clips
        for stage in self.stages():
            x = stage(x)
        return x.mean(dim=(2, 3, 4))

    def stages(self) -> list[nn.Module]:
        """See `Backbone.stages`."""
        return [self.get_submodule(name) for name in self._steps]


def build_backbone(spec: ModelSpec) -> I3D:
    """Return an I3D with fresh weights."""
    assert spec.i3d_layout is not None  # by the rules of ModelSpec
    return I3D(layout=spec.i3d_layout)


def recognise_layout(keys: set[str]) -> I3dLayout | None:
    """Return the layout whose parameter names `keys` are, or None."""
    if "Conv3d_1a_7x7.conv3d.weight" in keys:
        return "inception"
    if "conv3d_1a_7x7.conv3d.weight" in keys:
        return "model_rgb"
    return None


CLASSIFIERS: dict[I3dLayout, str] = {
    "inception": "logits.conv3d",
    "model_rgb": "conv3d_0c_1x1.conv3d",
}
_BRANCHES = {
    "branch_0.": "b0.",
    "branch_1.0.": "b1a.",
    "branch_1.1.": "b1b.",
    "branch_2.0.": "b2a.",
    "branch_2.1.": "b2b.",
    "branch_3.1.": "b3b.",
}


def canonical_key(key: str, *, layout: I3dLayout) -> str:
    """Return the name that this module gives to the parameter `key` of a published layout.

    Example: `mixed_3b.branch_1.0.batch3d.weight` → `Mixed_3b.b1a.bn.weight`.
    """
    if layout == "inception":
        return key
    key = key[0].upper() + key[1:]
    for theirs, ours in _BRANCHES.items():
        key = key.replace(theirs, ours)
    return key.replace(".batch3d.", ".bn.")
