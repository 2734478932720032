"""What a model costs: its parameters, and the arithmetic of scoring one performance."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from dae_aqa.inference.trained_model import TrainedModel


@torch.no_grad()
def model_costs(trained: TrainedModel) -> dict[str, float]:
    """Return `num_parameters` and `gflop_per_performance`.

    A multiplication and an addition are two operations. Counted are those of convolutions, matrix
    products and attention, which are nearly all, from the clips of one performance to its score.
    They depend on shapes alone, so the number is the same on every device. The comparison with
    exemplars is among them, what is computed once for all performances is not.

    Args:
        trained: the model, on any device; it is left in evaluation mode.
    """
    model, layout = trained.model.eval(), trained.layout
    like = next(model.parameters())
    side = layout.size_px
    shape = (1, len(layout.starts), 3, layout.num_frames, side, side)
    clips = torch.zeros(shape, dtype=like.dtype, device=like.device)
    # which exemplars vote does not matter, since their number is the same for every performance
    action_class = torch.zeros(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model.predict(model(clips), torch.ones(1, device=like.device), action_class=action_class)
    return {
        "num_parameters": sum(each.numel() for each in model.parameters()),
        "gflop_per_performance": counter.get_total_flops() / 1e9,
    }
