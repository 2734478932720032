"""A checkpoint as the released DAE code saves it; not a test module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dae_aqa.models.build import build_model


def write_released_checkpoint(path: Path) -> Path:
    """Write a DAE-MT with fresh weights, always the same ones."""
    torch.manual_seed(0)
    model = build_model(
        model="dae_mt",
        backbone="i3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )
    content = {
        "epoch": 3,
        "i3d": model.backbone.state_dict(),
        "dae": model.head.net.state_dict(),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        "rho_best": np.float64(0.9449),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path
