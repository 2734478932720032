"""The evaluation form is the same function without its batch norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dae_aqa.models.build import build_model
from dae_aqa.models.inference import for_inference
from dae_aqa.models.model import ScoreModel


def model_with(backbone: str) -> ScoreModel:
    torch.manual_seed(0)
    model = build_model(
        model="dae",
        backbone=backbone,
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.5,
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("backbone", ["small3d", "r2plus1d_18", "r3d_18", "s3d"])
def test_features_stay_the_same(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with(backbone)
    clips = torch.randn(1, 2, 3, *model.backbone.min_clip)
    fast = for_inference(model)
    assert not model.training
    with torch.no_grad():
        expected = model.features(clips)
        monkeypatch.setattr(F, "batch_norm", None)  # nobody may call it any more
        features = fast.features(clips)
        assert torch.isfinite(fast(clips).values).all()
    assert float((features - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_the_copy_takes_no_memory_for_its_head() -> None:
    model = model_with("small3d")
    assert for_inference(model).head is model.head


@pytest.mark.parametrize("backbone", ["i3d", "swin3d_t"])
def test_where_nothing_is_to_be_folded_nothing_is_copied(backbone: str) -> None:
    model = model_with(backbone)
    assert for_inference(model) is model
