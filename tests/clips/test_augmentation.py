"""The random choices of training: their ranges, and what they depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dae_aqa.clips.augmentation import Augmentation, Augmenter
from dae_aqa.clips.layout import ClipLayout

LAYOUT = ClipLayout(starts=(0, 10), num_frames=16, stride=1, crop_px=224, size_px=224, jitter_px=0)


def draw(layout: ClipLayout = LAYOUT, **changes: object) -> Augmentation:
    given = {"flip": True, "num_shifts": 6, "color_jitter": 0.2, "seed": 0, "epoch": 0, "index": 0}
    given |= changes
    epoch, index = given.pop("epoch"), given.pop("index")
    return Augmenter(**given).draw(layout, epoch=epoch, index=index)


def draws(layout: ClipLayout = LAYOUT, **changes: object) -> list[Augmentation]:
    return [draw(layout, epoch=e, index=i, **changes) for e in range(20) for i in range(20)]


def test_evaluation_takes_the_centre_and_no_chance():
    layout = LAYOUT.replaced(jitter_px=5)
    assert Augmentation.none(layout) == Augmentation(
        0, flip=False, offset_y_px=5, offset_x_px=5, color_gains=(1.0, 1.0, 1.0)
    )


def test_draw_depends_on_seed_epoch_and_index_alone():
    layout = LAYOUT.replaced(jitter_px=8)
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
    chosen = draws(LAYOUT.replaced(jitter_px=1))
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
    layout = LAYOUT.replaced(jitter_px=8)
    with_flips, without = draws(layout), draws(layout, flip=False)
    assert [replace(choice, flip=False) for choice in with_flips] == without
