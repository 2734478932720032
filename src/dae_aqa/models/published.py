"""Networks with weights of the published code of USDL, MUSDL and CoRe, to compare with it.

docs/models.md has an example. Together with `models.bins` and `heads.core` these networks compute,
from given features, what the published code does: labels, outputs, losses and scores.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from dae_aqa.errors import ModelError
from dae_aqa.models import checkpoints
from dae_aqa.models.bins import BinsMlp
from dae_aqa.models.heads.core import RegressionTree
from dae_aqa.wording import first_few

_PREFIX = "evaluator."


def published_net(method: str, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of a method with the weights of a published checkpoint, for evaluation.

    Args:
        method: `usdl` (features (N, D) -> logits (N, B)), `musdl` (a list of such networks, one per
            judge or element) or `core` (pairs (P, 2 D + 1) -> log-probabilities and positions of
            the leaves, (P, L) each).
        state: weights under their published names.

    Raises:
        ModelError: another method, or weights that are none of it.
    """
    state = checkpoints.serial_keys(dict(state))
    if method == "core":
        net: nn.Module = RegressionTree(_size(state, "first_layer.0.weight", axis=1))
    elif method in ("usdl", "musdl"):
        state = {key.removeprefix(_PREFIX): value for key, value in state.items()}
        judges = (
            sorted({key.split(".")[0] for key in state}, key=int) if method == "musdl" else [""]
        )
        names = [f"{judge}." if judge else "" for judge in judges]
        mlps = [
            BinsMlp(
                _size(state, f"{name}layer1.weight", axis=1),
                num_bins=_size(state, f"{name}layer3.weight", axis=0),
                dropout=0.0,
            )
            for name in names
        ]
        net = nn.ModuleList(mlps) if method == "musdl" else mlps[0]
    else:
        raise ModelError(
            f"there are no published networks of {method!r}, but of usdl, musdl, core."
        )
    checkpoints.load_state(net, state, source=f"the weights of {method}")
    return net.eval()


def _size(state: Mapping[str, Tensor], key: str, *, axis: int) -> int:
    if key not in state:
        raise ModelError(f"the weights lack {key}; they have {first_few(sorted(state), limit=8)}.")
    return state[key].shape[axis]
