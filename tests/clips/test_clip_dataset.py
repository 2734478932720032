"""From packed samples to normalised clips, against a plain NumPy way of doing the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.packed_samples import HEIGHT, MARGIN, WIDTH, draw_frames, write_pack

from dae_aqa.clips.augmentation import Augmenter
from dae_aqa.clips.dataset import SampleDataset, collate, scale_frames
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.clips.transform import make_clips
from dae_aqa.errors import FrameStoreError
from dae_aqa.inference.feeds import ClipFeed
from dae_aqa.models.normalization import IMAGENET

WINDOW = 12
SAMPLE_IDS = ["a", "b", "c", "d"]
LAYOUT = ClipLayout(
    starts=(1, 5), num_frames=3, stride=2, crop_px=24, size_px=24, jitter_px=2
)  # frames 1 to 9 of 12
AUGMENTER = Augmenter(num_shifts=2 * MARGIN, flip=True, color_jitter=0.2, seed=0)
Make = Callable[..., SampleDataset]


@pytest.fixture(scope="module")
def frames() -> dict[str, np.ndarray]:
    return {name: draw_frames(name, num_frames=WINDOW) for name in SAMPLE_IDS}


@pytest.fixture(scope="module")
def frames_dir(frames: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for name, content in frames.items():
        write_pack(folder, name, content)
    return folder


@pytest.fixture
def make_dataset(frames_dir: Path) -> Make:
    def make(**changes: object) -> SampleDataset:
        options = {
            "sample_ids": SAMPLE_IDS,
            "frames_dir": frames_dir,
            "layout": LAYOUT,
            "augmenter": AUGMENTER,
            "cache": False,
        }
        return SampleDataset(**(options | changes))

    return make


def triangle_weights(num_in: int, num_out: int) -> np.ndarray:
    """Weights (num_out, num_in) of a triangle as wide as the shrinkage (antialiased bilinear)."""
    scale = num_in / num_out
    width = max(scale, 1.0)
    weights = np.zeros((num_out, num_in))
    for row in range(num_out):
        centre = (row + 0.5) * scale
        distance = np.abs(np.arange(num_in) + 0.5 - centre) / width
        weights[row] = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


def centre_square(images: np.ndarray, side: int) -> np.ndarray:
    """Cut (T, H, W, 3) as one would with a ruler."""
    top, left = (images.shape[1] - side) // 2, (images.shape[2] - side) // 2
    return images[:, top : top + side, left : left + side]


def oracle_clips(frames: np.ndarray, dataset: SampleDataset, epoch: int, index: int) -> np.ndarray:
    """Return the clips (K, 3, T, S, S) of one sample, frame by frame.

    The layout must not scale, so that the result is exact.
    """
    layout, choice = dataset.layout, dataset[(epoch, index)].augmentation
    clips = []
    for start in layout.starts:
        clip = []
        for step in range(layout.num_frames):
            number = MARGIN + start + step * layout.stride + choice.shift_frames
            number = min(max(number, 0), len(frames) - 1)
            image = centre_square(frames[number][None], layout.crop_px + 2 * layout.jitter_px)[0]
            top, left = choice.offset_y_px, choice.offset_x_px
            image = image[top : top + layout.size_px, left : left + layout.size_px]
            image = image[:, ::-1] if choice.flip else image
            bright = image / 255.0 * choice.color_gains
            clip.append((bright - IMAGENET.mean) / IMAGENET.std)
        clips.append(np.stack(clip))  # (T, S, S, 3)
    return np.stack(clips).transpose(0, 4, 1, 2, 3)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("num_shifts", [0, 1, 4, 5, 10])
def test_clips_equal_the_oracle(make_dataset, frames, cache, num_shifts):
    """Shift, offset, flip, cut, normalisation; ten shifts leave the margins on both sides.

    An odd number of shifts reaches one frame further after the window than before it.
    """
    dataset = make_dataset(cache=cache, augmenter=replace(AUGMENTER, num_shifts=num_shifts))
    flips, shifts = set(), set()
    for epoch in range(3):
        batch = collate([dataset[(epoch, index)] for index in range(4)])
        clips = make_clips(batch, layout=LAYOUT, normalization=IMAGENET, device=torch.device("cpu"))
        assert clips.dtype == torch.float32
        assert clips.shape == (4, 2, 3, 3, 24, 24)
        for index, name in enumerate(SAMPLE_IDS):
            expected = oracle_clips(frames[name], dataset, epoch, index)
            np.testing.assert_allclose(clips[index].numpy(), expected, atol=1e-5)
            choice = dataset[(epoch, index)].augmentation
            flips.add(choice.flip)
            shifts.add(choice.shift_frames)
    assert flips == {False, True}
    assert len(shifts) >= min(3, num_shifts + 1)
    assert num_shifts not in (1, 5) or max(shifts) == num_shifts - num_shifts // 2


@pytest.mark.parametrize("augmenter", [None, AUGMENTER], ids=["plain", "augmented"])
@pytest.mark.parametrize(
    "layout",
    [
        LAYOUT,
        LAYOUT.replaced(crop_px=32, size_px=16, jitter_px=1),
        LAYOUT.replaced(starts=(6, 0), num_frames=2, stride=3, jitter_px=0),
    ],
)
def test_cache_changes_nothing(make_dataset, layout, augmenter):
    plain, cached = (
        make_dataset(layout=layout, augmenter=augmenter, cache=cache) for cache in (False, True)
    )
    for epoch in range(4):
        for index in range(4):
            one, other = plain[(epoch, index)], cached[(epoch, index)]
            assert one.augmentation == other.augmentation
            assert one.index == other.index == index
            assert torch.equal(one.frames, other.frames)


def test_cached_frames_are_not_handed_out_to_be_changed(make_dataset):
    dataset = make_dataset(cache=True, augmenter=None)
    before = dataset[(0, 0)].frames.clone()
    dataset[(0, 0)].frames.zero_()
    assert torch.equal(dataset[(0, 0)].frames, before)


def test_without_augmentation_every_epoch_is_the_same(make_dataset):
    dataset = make_dataset(augmenter=None)
    assert torch.equal(dataset[(0, 1)].frames, dataset[(7, 1)].frames)
    assert dataset[(7, 1)].augmentation.flip is False
    assert len(dataset) == 4


@pytest.mark.parametrize(("side", "size"), [(40, 20), (36, 16), (32, 32), (24, 30)])
def test_scaling_equals_weighted_sums(side, size):
    images = draw_frames("scale", num_frames=2)
    layout = LAYOUT.replaced(crop_px=side, size_px=size, jitter_px=0)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    scaled = scale_frames(tensor, layout)
    assert scaled.dtype == torch.uint8
    assert scaled.shape == (len(images), 3, size, size)
    weights = triangle_weights(side, size)
    square = centre_square(images, side).astype(float)
    expected = np.einsum("oh,thwc,pw->tcop", weights, square, weights)
    # the library rounds once after each axis and works in fixed point
    assert np.abs(scaled.numpy() - expected).max() <= 1.5


def test_frames_smaller_than_the_crop_are_used_whole():
    tensor = torch.from_numpy(draw_frames("small", num_frames=1)).permute(0, 3, 1, 2)
    scaled = scale_frames(tensor, LAYOUT.replaced(crop_px=256, size_px=HEIGHT, jitter_px=0))
    left = (WIDTH - HEIGHT) // 2
    assert torch.equal(scaled, tensor[..., left : left + HEIGHT])


def feed_batches(
    dataset: SampleDataset, *, num_workers: int
) -> list[tuple[list[int], torch.Tensor]]:
    feed = ClipFeed(
        dataset,
        layout=dataset.layout,
        normalization=IMAGENET,
        num_workers=num_workers,
        device=torch.device("cpu"),
    )
    return [
        (indices.tolist(), clips)
        for epoch in range(2)
        for indices, clips in feed.batches([[3, 0], [1], [2]], epoch=epoch)
    ]


def test_number_of_workers_changes_nothing(make_dataset):
    alone = feed_batches(make_dataset(), num_workers=0)
    helped = feed_batches(make_dataset(), num_workers=2)
    assert [indices for indices, _ in alone] == [[3, 0], [1], [2]] * 2
    assert [indices for indices, _ in helped] == [indices for indices, _ in alone]
    for (_, one), (_, other) in zip(alone, helped, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(alone[0][1], alone[3][1])  # another epoch, another augmentation


def test_loading_draws_nothing_from_the_global_generator(make_dataset):
    """Dropout and the noise of z would depend on how samples are loaded."""
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    feed_batches(make_dataset(), num_workers=0)
    assert torch.equal(torch.rand(1), expected)


def test_window_too_short_for_the_layout(make_dataset):
    with pytest.raises(FrameStoreError, match=r"a: .* window of 12 frames, .* reach to frame 14"):
        make_dataset(layout=LAYOUT.replaced(starts=(9,)))[(0, 0)]


@pytest.mark.parametrize("cache", [False, True])
def test_missing_sample(make_dataset, cache):
    with pytest.raises(FrameStoreError, match=r"gone\.zip: cannot open.*extract_frames"):
        make_dataset(sample_ids=["gone"], cache=cache)[(0, 0)]


def test_normalised_values_lie_where_they_should(make_dataset):
    clips = feed_batches(make_dataset(augmenter=None), num_workers=0)[0][1]
    darkest = min(-m / s for m, s in zip(IMAGENET.mean, IMAGENET.std, strict=True))
    brightest = max((1 - m) / s for m, s in zip(IMAGENET.mean, IMAGENET.std, strict=True))
    assert math.isclose(float(clips.min()), darkest, abs_tol=0.05)
    assert math.isclose(float(clips.max()), brightest, abs_tol=0.05)
