"""The evaluation form of a model: the same function, faster, for looking and not for learning."""

from __future__ import annotations

import copy
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dae_aqa.models.model import ScoreModel


def for_inference(model: ScoreModel) -> ScoreModel:
    """Return `model` in evaluation mode with batch norms folded into the convolutions before them.

    The head is shared, and the backbone a copy, unless there is nothing to fold: an I3D folds by
    itself wherever statistics are fixed, and transformers have no batch norm.
    """
    model.eval()
    if not _foldable(model.backbone):
        return model
    backbone = copy.deepcopy(model.backbone)
    for conv, norm in _foldable(backbone):
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
        )
        # it keeps its place, which containers may share, and does nothing there
        setattr(norm, "forward", _unchanged)  # noqa: B010  (a plain assignment is no valid type)
    return ScoreModel(backbone=backbone, neck=model.neck, head=model.head, spec=model.spec).eval()


def _foldable(net: nn.Module) -> list[tuple[nn.Conv3d, nn.BatchNorm3d]]:
    """Return each convolution that is directly followed by a batch norm, and that."""
    found = []
    for container in net.modules():
        if isinstance(container, nn.Sequential):
            for before, norm in pairwise(container):
                conv = _last_layer(before)
                if isinstance(conv, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                    found.append((conv, norm))
    return found


def _last_layer(module: nn.Module) -> nn.Module:
    while isinstance(module, nn.Sequential) and len(module) > 0:
        module = module[-1]
    return module


def _unchanged(x: Tensor) -> Tensor:
    return x
