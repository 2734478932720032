"""Which frames make which clip; what the random choices depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dae_aqa.clips.augmentation import Augmentation, Augmenter
from dae_aqa.clips.layout import ClipLayout

PUBLISHED = ClipLayout(
    starts=(0, 10, 20, 30, 40, 50, 60, 70, 80, 87),
    num_frames=16,
    stride=1,
    crop_px=224,
    size_px=224,
    jitter_px=0,
)


def draw(layout: ClipLayout = PUBLISHED, **changes: object) -> Augmentation:
    given = {"flip": True, "num_shifts": 6, "color_jitter": 0.2, "seed": 0, "epoch": 0, "index": 0}
    given |= changes
    epoch, index = given.pop("epoch"), given.pop("index")
    return Augmenter(**given).draw(layout, epoch=epoch, index=index)


def draws(layout: ClipLayout = PUBLISHED, **changes: object) -> list[Augmentation]:
    return [draw(layout, epoch=e, index=i, **changes) for e in range(20) for i in range(20)]


def test_published_clips_cover_all_103_frames():
    np.testing.assert_array_equal(PUBLISHED.frame_indices, np.arange(103))
    positions = PUBLISHED.clip_positions
    assert positions.shape == (10, 16)
    for start, clip in zip(PUBLISHED.starts, positions, strict=True):
        assert clip.tolist() == list(range(start, start + 16))
    assert positions[-1, -1] == 102


@pytest.mark.parametrize(
    "layout",
    [
        PUBLISHED,
        PUBLISHED.replaced(starts=(4,), num_frames=48, stride=2),
        PUBLISHED.replaced(starts=(30, 5, 5), num_frames=4, stride=3),
    ],
)
def test_positions_lead_to_the_frames_that_starts_and_stride_name(layout):
    expected = [[s + layout.stride * t for t in range(layout.num_frames)] for s in layout.starts]
    assert layout.frame_indices[layout.clip_positions].tolist() == expected
    assert layout.frame_indices.tolist() == sorted({f for clip in expected for f in clip})


def test_jitter_pads_crop_and_size_in_proportion():
    layout = PUBLISHED.replaced(crop_px=224, size_px=112, jitter_px=4)
    assert layout.padded_size_px == 120
    assert layout.padded_crop_px == 240


def test_evaluation_takes_the_centre_and_no_chance():
    layout = PUBLISHED.replaced(jitter_px=5)
    assert Augmentation.none(layout) == Augmentation(
        0, flip=False, offset_y_px=5, offset_x_px=5, color_gains=(1.0, 1.0, 1.0)
    )


def test_draw_depends_on_seed_epoch_and_index_alone():
    layout = PUBLISHED.replaced(jitter_px=8)
    first = draws(layout)
    np.random.default_rng().random(3)  # other generators have no say
    assert draws(layout) == first
    base = {"seed": 1, "epoch": 2, "index": 3}
    for name in base:
        others = {draw(layout, **(base | {name: value})) for value in range(10, 30)}
        assert len(others) > 10, f"{name} has no effect"


def test_shifts_reach_three_frames_either_way():
    shifts = [choice.shift_frames for choice in draws()]
    assert set(shifts) == {-3, -2, -1, 0, 1, 2, 3}
    assert np.mean(shifts) == pytest.approx(0.0, abs=0.4)  # sd of the mean is 0.1
    assert {choice.shift_frames for choice in draws(num_shifts=0)} == {0}
    assert {choice.shift_frames for choice in draws(num_shifts=1)} == {0, 1}


def test_half_of_the_draws_mirror():
    assert np.mean([choice.flip for choice in draws()]) == pytest.approx(0.5, abs=0.1)
    assert not any(choice.flip for choice in draws(flip=False))


def test_offsets_span_the_jitter():
    chosen = draws(PUBLISHED.replaced(jitter_px=1))
    assert {(c.offset_y_px, c.offset_x_px) for c in chosen} == {
        (y, x) for y in range(3) for x in range(3)
    }


def test_color_gains_lie_around_one():
    gains = np.array([choice.color_gains for choice in draws()])
    assert gains.min() >= 0.8
    assert gains.max() <= 1.2
    np.testing.assert_allclose(gains.mean(axis=0), 1.0, atol=0.03)  # sd of the mean is 0.006
    assert abs(np.corrcoef(gains.T)[np.triu_indices(3, 1)]).max() < 0.25  # each on its own
    assert {choice.color_gains for choice in draws(color_jitter=0.0)} == {(1.0, 1.0, 1.0)}


def test_forbidding_flips_changes_no_other_choice():
    layout = PUBLISHED.replaced(jitter_px=8)
    with_flips, without = draws(layout), draws(layout, flip=False)
    assert [replace(choice, flip=False) for choice in with_flips] == without
