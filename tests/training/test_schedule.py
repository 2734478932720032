"""The learning rate against its closed form; decay coupled and decoupled."""

from __future__ import annotations

import math

import pytest
import torch

from dae_aqa.training.schedule import lr_factor, make_optimizer, set_lr


def factors(schedule: str, *, num_steps: int = 100, num_warmup_steps: int = 0) -> list[float]:
    return [
        lr_factor(step, num_steps=num_steps, num_warmup_steps=num_warmup_steps, schedule=schedule)
        for step in range(num_steps)
    ]


def test_constant():
    assert factors("constant") == [1.0] * 100


def test_warmup_rises_linearly_and_never_starts_at_zero():
    assert factors("constant", num_warmup_steps=4)[:6] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    )


def test_cosine_equals_its_closed_form():
    expected = [math.cos(math.pi * step / 200) ** 2 for step in range(100)]  # half-angle form
    assert factors("cosine") == pytest.approx(expected)


def test_cosine_begins_after_the_warmup():
    values = factors("cosine", num_warmup_steps=20)
    assert values[20] == 1.0
    assert values[60] == pytest.approx(0.5)
    assert values[-1] == pytest.approx(math.cos(math.pi * 79 / 160) ** 2)
    assert sorted(values[20:], reverse=True) == values[20:]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warmup_longer_than_the_training(schedule):
    values = factors(schedule, num_steps=3, num_warmup_steps=9)
    assert values == pytest.approx([0.1, 0.2, 0.3])


def test_the_rate_is_a_part_of_the_peak_however_often_it_is_set():
    """Also after a resume, whose saved rate is some part of the peak already."""
    weights = [torch.nn.Parameter(torch.ones(2))]
    optimizer = make_optimizer([(weights, 1.0)], name="adam", lr=0.1, weight_decay=0.0)
    resumed = make_optimizer([(weights, 1.0)], name="adam", lr=0.1, weight_decay=0.0)
    for factor in (0.5, 0.25, 1.0, 0.125):
        set_lr(optimizer, factor=factor)
        assert [group["lr"] for group in optimizer.param_groups] == [0.1 * factor]
    resumed.load_state_dict(optimizer.state_dict())
    set_lr(resumed, factor=0.5)
    assert [group["lr"] for group in resumed.param_groups] == [0.05]


def step_without_gradient(name: str) -> float:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = make_optimizer([([weight], 1.0)], name=name, lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros(1)
    optimizer.step()
    return weight.item()


def test_decoupled_decay_shrinks_by_lr_times_decay():
    assert step_without_gradient("adamw") == pytest.approx(3.0 * (1 - 0.1 * 0.5))


def test_coupled_decay_passes_through_the_adaptive_step():
    """Adam's first step has the length lr whatever the gradient; here the decay is all of it."""
    assert step_without_gradient("adam") == pytest.approx(3.0 - 0.1)


def test_frozen_parameters_are_left_out():
    trained, frozen = (torch.nn.Parameter(torch.ones(1), requires_grad=r) for r in (True, False))
    optimizer = make_optimizer([([trained, frozen], 1.0)], name="adam", lr=0.1, weight_decay=0.0)
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == [id(trained)]
