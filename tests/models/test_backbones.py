"""Backbones: the golden features of I3D, shapes, gradients, and the facts that each one states."""

import json
from pathlib import Path
from types import ModuleType
from typing import get_args

import i3d_pins
import numpy as np
import pytest
import torch
import torchvision
from model_options import fresh_backbone
from torch import nn
from torch.nn import functional as F

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.i3d import I3D, LAYOUTS, ConvUnit, SamePool, canonical_key
from dae_aqa.models.backbones.small3d import Small3d
from dae_aqa.models.backbones.torchvision_video import TorchvisionVideo
from dae_aqa.models.build import load_i3d
from dae_aqa.models.options import BACKBONES, I3dLayout

OF_TORCHVISION = [name for name, facts in BACKBONES.items() if facts.is_torchvision]
OWN = [name for name in BACKBONES if name not in OF_TORCHVISION]


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_i3d_features_are_the_references(
    layout: str,
    i3d_states: dict[str, dict[str, torch.Tensor]],
    golden: ModuleType,
    reference: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(i3d_states[layout], path)
    net = load_i3d(path)
    assert net.layout == layout
    clip = torch.from_numpy(golden.clip(int(reference["seed"])))
    with torch.no_grad():
        features = net(clip).numpy()
    np.testing.assert_allclose(
        features, reference[layout], rtol=1e-4, atol=1e-6 * np.abs(reference[layout]).max()
    )


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_i3d_features_are_pinned(layout: str) -> None:
    pins = json.loads(i3d_pins.PINS.read_text())[layout]
    found = i3d_pins.features(layout)
    assert found.shape == (1024,)
    np.testing.assert_allclose(
        [found.mean(), found.std(), *found[:: i3d_pins.EVERY]],
        [pins["mean"], pins["std"], *pins["every_64th"]],
        rtol=1e-4,
        atol=1e-5 * pins["std"],
    )


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_published_key_is_used(
    layout: str, i3d_states: dict[str, dict[str, torch.Tensor]]
) -> None:
    published = {canonical_key(key, layout=layout) for key in i3d_states[layout]}
    classifier = {key for key in published if key.lower().startswith(("logits", "conv3d_0c"))}
    assert len(classifier) == 2
    assert published - classifier == set(I3D(layout=layout).state_dict())


def _same_pad_oracle(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding from its definition: as many outputs as strides fit."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("size", [7, 8, 13, 14, 28])
def test_inception_pads_like_tensorflow(size: int) -> None:
    x = torch.rand(1, 2, 8, size, size)
    pads = [_same_pad_oracle(n, 3, 2) for n in (8, size, size)]
    flat = [amount for pair in reversed(pads) for amount in pair]
    expected = F.max_pool3d(F.pad(x, flat), 3, 2)
    pool = SamePool(kernel=(3, 3, 3), stride=(2, 2, 2), layout=LAYOUTS["inception"])
    assert torch.equal(pool(x), expected)
    unit = ConvUnit(2, 4, kernel=(3, 3, 3), stride=(2, 2, 2), layout=LAYOUTS["inception"]).eval()
    expected = F.relu(unit.bn(F.conv3d(F.pad(x, flat), unit.conv3d.weight, stride=2)))
    torch.testing.assert_close(unit(x), expected)


@pytest.mark.parametrize(("size", "outputs"), [(7, 4), (8, 4), (13, 7), (14, 7)])
def test_model_rgb_pads_by_kernel_and_stride_alone(size: int, outputs: int) -> None:
    x = torch.rand(1, 2, 8, size, size)
    padded = F.pad(x, [0, 1, 0, 1, 0, 1])
    expected = F.max_pool3d(padded, 3, 2, ceil_mode=True)
    pool = SamePool(kernel=(3, 3, 3), stride=(2, 2, 2), layout=LAYOUTS["model_rgb"])
    assert torch.equal(pool(x), expected)
    assert expected.shape[-1] == outputs


def test_i3d_takes_other_sizes_and_refuses_too_small_ones() -> None:
    net = I3D(layout="inception").eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, 8, 65, 47)).shape == (1, 1024)
    with pytest.raises(ModelError, match=r"at least \(8, 32, 32\) .*got \(4, 64, 64\)"):
        net(torch.randn(1, 3, 4, 64, 64))
    with pytest.raises(ModelError, match=r"shape \(B, 3, T, H, W\), got \(1, 1, 16, 64, 64\)"):
        net(torch.randn(1, 1, 16, 64, 64))


def test_both_layouts_can_be_named() -> None:
    assert get_args(I3dLayout) == tuple(LAYOUTS)


@pytest.mark.parametrize("size", [(8, 32, 32), (17, 33, 45), (48, 64, 64)])
def test_small3d_takes_any_size_and_all_of_it_learns(size: tuple[int, int, int]) -> None:
    net = Small3d()
    features = net(torch.randn(2, 3, *size))
    assert features.shape == (2, net.feature_dim)
    features.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert bool((parameter.grad != 0).any()), name


def test_small3d_tells_early_from_late() -> None:
    torch.manual_seed(0)
    net = Small3d().eval()
    clip = torch.zeros(1, 3, 16, 32, 32)
    clip[:, :, :4] = 1.0
    with torch.no_grad():
        assert not torch.allclose(net(clip), net(clip.flip(2)), atol=1e-5)


@pytest.mark.parametrize("name", [*OWN, "r3d_18", "swin3d_t"])
def test_a_clip_has_the_same_features_alone_and_among_others(name: str) -> None:
    torch.manual_seed(0)
    net = fresh_backbone(name).eval()
    clips = torch.randn(5, 3, 16, 48, 48)
    with torch.no_grad():
        together = net(clips)
        for size in (1, 2, 3):
            assert torch.equal(torch.cat([net(some) for some in clips.split(size)]), together), size


@pytest.mark.parametrize("name", [*OWN, "r2plus1d_18", "s3d", "swin3d_t"])
def test_stated_facts_hold(name: str) -> None:
    torch.manual_seed(0)
    net = fresh_backbone(name).eval()
    assert net.min_clip == BACKBONES[name].min_clip
    with torch.no_grad():
        assert net(torch.randn(1, 3, *net.min_clip)).shape == (1, net.feature_dim)
    for mean, std in zip(net.normalization.mean, net.normalization.std, strict=True):
        assert 0 < mean < 1
        assert 0 < std < 1


def test_mvit_says_which_clip_it_takes() -> None:
    with torch.device("meta"):
        net = fresh_backbone("mvit_v2_s")
        assert net.feature_dim == 768
        with pytest.raises(ModelError, match=r"exactly \(16, 224, 224\).*got \(32, 224, 224\)"):
            net(torch.zeros(1, 3, 32, 224, 224))


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_every_torchvision_name_exists(name: str) -> None:
    with torch.device("meta"):
        assert fresh_backbone(name).feature_dim >= 512


def test_all_of_torchvisions_are_known() -> None:
    videos = torchvision.models.list_models(module=torchvision.models.video)
    assert set(OF_TORCHVISION) == set(videos)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_what_fits_one_size_alone_says_so(name: str) -> None:
    """A network whose clips have a learned embedding of each position."""
    with torch.device("meta"):
        net = fresh_backbone(name)
    assert isinstance(net, TorchvisionVideo)
    assert BACKBONES[name].exact_clip == hasattr(net.net, "pos_encoding")


@pytest.mark.parametrize("name", OWN)
def test_pretrained_weights_are_torchvisions(name: str) -> None:
    with pytest.raises(ModelError, match=rf"'{name}' has none of; set train.backbone_weights"):
        fresh_backbone(name, pretrained=True)


def test_an_unreachable_hub_says_where_the_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: object, **_kwargs: object) -> nn.Module:
        raise OSError("network is unreachable")

    monkeypatch.setattr("torchvision.models.get_model", unreachable)
    with pytest.raises(
        ModelError, match=r"r2plus1d_18 could not be had .*Fetch https://.*r2plus1d"
    ):
        fresh_backbone("r2plus1d_18", pretrained=True)
