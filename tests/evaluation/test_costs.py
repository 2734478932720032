"""What a model costs, against sums by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny_training import MakeOptions, TinyData
from torch import Tensor, nn

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.evaluation.costs import model_costs
from dae_aqa.inference.trained_model import TrainedModel, Usage
from dae_aqa.models.build import build_model
from dae_aqa.models.normalization import HALF


def trained(num_clips: int, **changes: Any) -> TrainedModel:
    model = build_model(
        model="dae_mt",
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
        **changes,
    )
    layout = ClipLayout(
        starts=tuple(range(num_clips)), num_frames=16, stride=1, crop_px=64, size_px=48, jitter_px=0
    )
    return TrainedModel(model, Usage(layout=layout, normalization=HALF))


def gflop_by_hand(model: nn.Module, clips: Tensor) -> float:
    """Add up twice the multiplications of each convolution and each linear layer."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv3d | nn.Linear)
        per_value = module.weight[0].numel()  # weights of one output channel
        total += 2 * per_value * output.numel()

    hooks = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, nn.Conv3d | nn.Linear)
    ]
    with torch.no_grad():
        model.eval()(clips)
    for hook in hooks:
        hook.remove()
    return total / 1e9


@pytest.mark.parametrize("num_clips", [1, 3])
def test_costs_are_those_of_all_clips_of_one_performance(num_clips):
    subject = trained(num_clips)
    costs = model_costs(subject)
    clips = torch.zeros(1, num_clips, 3, 16, 48, 48)
    assert costs["gflop_per_performance"] == pytest.approx(gflop_by_hand(subject.model, clips))
    parts = (subject.model.backbone, subject.model.head)
    sizes = [each.numel() for part in parts for each in part.state_dict(keep_vars=True).values()
             if isinstance(each, nn.Parameter)]  # fmt: skip
    assert costs["num_parameters"] == sum(sizes)


def test_costs_are_the_same_in_training_mode_and_leave_no_gradient():
    subject = trained(1)
    first = model_costs(subject)
    subject.model.train()
    assert model_costs(subject) == first
    assert all(each.grad is None for each in subject.model.parameters())


def test_a_neck_that_attends_has_costs_and_mirror_images_double_those_of_the_backbone():
    once = model_costs(trained(2, neck="attention"))
    both = model_costs(trained(2, neck="attention", average_mirrored=True))
    backbone = gflop_by_hand(trained(2).model.backbone, torch.zeros(2, 3, 16, 48, 48))
    assert once["gflop_per_performance"] > backbone
    added = both["gflop_per_performance"] - once["gflop_per_performance"]
    assert added == pytest.approx(backbone)


@pytest.mark.parametrize("model", ["usdl", "musdl", "core", "dae_core"])
def test_every_method_has_costs(
    model: str, small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    changes = {"model": model, "num_epochs": 1, "train.exemplars.by": "action_class"}
    subject, _ = tiny_data.train(small_options(changes), tmp_path)
    costs = model_costs(subject)
    clips = torch.zeros(1, len(subject.layout.starts), 3, 8, 32, 32)
    network = gflop_by_hand(subject.model, clips)
    assert costs["gflop_per_performance"] >= network > 0
