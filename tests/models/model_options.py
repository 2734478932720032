"""The options of losses and backbones in short; not a test module."""

from __future__ import annotations

from dae_aqa.models.backbones import build_backbone
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.options import LossOptions, ModelSpec


def loss_options(
    name: str, *, alpha: float = 0.5, beta: float = 0.5, beta_nll: float = 0.5
) -> LossOptions:
    """Return the options of a loss; alpha = beta = 0.5 is the plain likelihood."""
    return LossOptions(
        name=name,
        alpha=alpha,
        beta=beta,
        beta_nll=beta_nll,
        mse_warmup_fraction=0.0,
        standardize_targets=True,
    )


def fresh_backbone(name: str, *, pretrained: bool = False) -> Backbone:
    """Return a backbone by name; of an I3D, the layout `inception`."""
    spec = ModelSpec(
        model="dae",
        backbone=name,
        i3d_layout="inception" if name == "i3d" else None,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )
    return build_backbone(spec, pretrained=pretrained)
