"""Activation checkpointing changes neither gradients nor statistics, and keeps less."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from model_options import fresh_backbone
from torch import Tensor

from dae_aqa.errors import ModelError
from dae_aqa.inference.device import set_determinism
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.recompute import recompute_activations


def saved_bytes_and_gradients(net: Backbone, clips: Tensor) -> tuple[int, dict[str, Tensor]]:
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        torch.manual_seed(1)  # stochastic depth draws
        loss = net(clips).square().mean()
    held = sum(saved.values())
    loss.backward()
    return held, {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Several threads add up some gradients in any order otherwise (those of tables, in Swin)."""
    set_determinism(True)
    yield
    set_determinism(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("frozen_bn", [False, True])
@pytest.mark.parametrize("name", ["small3d", "i3d", "r2plus1d_18", "swin3d_t"])
def test_gradients_and_statistics_stay_the_same(name: str, frozen_bn: bool) -> None:
    torch.manual_seed(0)
    plain = fresh_backbone(name).train(not frozen_bn)
    thrifty = copy.deepcopy(plain)
    recompute_activations(thrifty)
    clips = torch.randn(2, 3, 8, 32, 32)
    held, gradients = saved_bytes_and_gradients(plain, clips)
    thrifty_held, thrifty_gradients = saved_bytes_and_gradients(thrifty, clips)
    assert gradients.keys() == thrifty_gradients.keys()
    torch.testing.assert_close(thrifty_gradients, gradients, rtol=0, atol=0)
    assert plain.state_dict().keys() == thrifty.state_dict().keys()
    torch.testing.assert_close(thrifty.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert thrifty_held < held


def test_statistics_do_move_in_the_first_pass() -> None:
    net = fresh_backbone("small3d").train()
    recompute_activations(net)
    net(torch.randn(2, 3, 8, 32, 32)).sum().backward()
    norm = next(module for module in net.modules() if isinstance(module, torch.nn.BatchNorm3d))
    assert norm.num_batches_tracked == 1
    assert bool((norm.running_mean != 0).all())


def test_a_copy_is_recomputed_by_itself() -> None:
    """The copy's stages must not run those of the original."""
    net = fresh_backbone("small3d").train()
    recompute_activations(net)
    other = copy.deepcopy(net)
    other(torch.randn(2, 3, 8, 32, 32)).sum().backward()
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(parameter.grad is not None for parameter in other.parameters())


def test_a_backbone_without_stages_says_so() -> None:
    class Plain(Backbone):
        def encode(self, clips: Tensor) -> Tensor:
            return clips.mean(dim=(2, 3, 4))

    with pytest.raises(ModelError, match=r"Plain has no stages .*train.activation_checkpointing"):
        recompute_activations(Plain())
