"""I3D's parts against what they stand for: convolution and batch norm, and torch's max pooling."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dae_aqa.models.backbones.i3d import I3D, LAYOUTS, ConvUnit, Mixed, SamePool

KERNELS = [
    ((1, 3, 3), (1, 2, 2)),
    ((3, 3, 3), (2, 2, 2)),
    ((2, 2, 2), (2, 2, 2)),
    ((3,) * 3, (1,) * 3),
]
SIZES = list(itertools.product((4, 5), (7, 8), (9, 10)))


@pytest.fixture(scope="module", params=list(LAYOUTS))
def net(request: pytest.FixtureRequest) -> I3D:
    """An I3D whose batch norms do something."""
    torch.manual_seed(0)
    net = I3D(layout=request.param).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def unfolded(unit: ConvUnit, x: Tensor) -> Tensor:
    return F.relu(unit.bn(unit.conv3d(x)))


def unfolded_mixed(mixed: Mixed, x: Tensor) -> Tensor:
    second = unfolded(mixed.b1b, unfolded(mixed.b1a, x))
    third = unfolded(mixed.b2b, unfolded(mixed.b2a, x))
    fourth = unfolded(mixed.b3b, mixed.b3a(x))
    return torch.cat((unfolded(mixed.b0, x), second, third, fourth), dim=1)


def test_a_folded_block_is_the_same_function_with_the_same_gradients(net: I3D) -> None:
    block = net.get_submodule("Mixed_3b")
    assert isinstance(block, Mixed)
    results = []
    for run in (block, lambda x: unfolded_mixed(block, x)):
        x = torch.rand(2, 192, 3, 6, 5, generator=torch.manual_seed(1), requires_grad=True)
        block.zero_grad()
        output = run(x)
        (output * torch.randn(output.shape, generator=torch.manual_seed(2))).sum().backward()
        grads = {name: p.grad.clone() for name, p in block.named_parameters() if p.grad is not None}
        results.append((output.detach(), x.grad, grads))
    assert len(results[0][2]) == 3 * 6
    for folded, plain in zip(results[0][:2], results[1][:2], strict=True):
        torch.testing.assert_close(folded, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-4, atol=1e-4)


def test_folded_features_equal_unfolded_ones(net: I3D, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        folded = net(clips)
        stem = net.get_submodule("Conv3d_1a_7x7")

        def plain(unit: ConvUnit, x: Tensor) -> Tensor:
            if unit is stem:  # pads 2 before and 3 after at these sizes, in both layouts
                return F.relu(unit.bn(unit.conv3d(F.pad(x, [2, 3] * 3))))
            return unfolded(unit, x)

        monkeypatch.setattr(ConvUnit, "forward", plain)
        monkeypatch.setattr(Mixed, "forward", unfolded_mixed)
        expected = net(clips)
    assert float((folded - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
@pytest.mark.parametrize("size", SIZES)
def test_both_poolings_equal_that_of_zero_padding(
    layout: str,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    size: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Values and gradients, with many ties: all activations are whole numbers from 1 to 4."""
    rules = LAYOUTS[layout]
    x = torch.randint(1, 5, (2, 3, *size), generator=torch.manual_seed(0)).float()
    pads = []
    for length, width, step in zip(size, kernel, stride, strict=True):
        total = max(width - ((length % step if rules.pads_by_size else 0) or step), 0)
        pads = [total // 2, total - total // 2, *pads]

    def padded(x: Tensor) -> Tensor:
        return F.max_pool3d(F.pad(x, pads), kernel, stride, ceil_mode=rules.ceil_pooling)

    pool = SamePool(kernel=kernel, stride=stride, layout=rules)
    expected = values_and_gradient(padded, x)
    torch.testing.assert_close(values_and_gradient(pool, x), expected, rtol=0, atol=1e-5)
    # as on CUDA, where torch's own has no deterministic backward pass
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(F, "max_pool3d", None)
    torch.testing.assert_close(values_and_gradient(pool, x), expected, rtol=0, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_i3d_learns_on_cuda_under_deterministic_algorithms() -> None:
    net = I3D(layout="inception").cuda()
    clips = torch.randn(1, 3, 8, 64, 64, device="cuda")
    torch.use_deterministic_algorithms(True)
    try:
        net(clips).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(parameter.grad is not None for parameter in net.parameters())


def values_and_gradient(pool: object, x: Tensor) -> tuple[Tensor, Tensor]:
    assert callable(pool)
    leaf = x.clone().requires_grad_()
    y = pool(leaf)
    y.backward(torch.randn(y.shape, generator=torch.manual_seed(1)))
    assert leaf.grad is not None
    return y.detach(), leaf.grad


def test_repeatable_pooling_passes_nan_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    x = torch.rand(1, 1, 4, 4, 4)
    x[0, 0, 1, 2, 1] = torch.nan
    pool = SamePool(kernel=(2, 2, 2), stride=(2, 2, 2), layout=LAYOUTS["inception"])
    assert torch.isnan(pool(x)).flatten().tolist() == [False, False, True, *[False] * 5]
