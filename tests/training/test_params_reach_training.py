"""What `params.yaml` says reaches the training: one change, one effect that torch can see.

Every test trains the tiny data with one parameter changed and looks at what torch was given, or
computes by hand what had to come out. `test_every_parameter_has_its_test` keeps the list whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from scipy import stats
from tests.tiny_training import FRAMES, MakeOptions, TinyData, make_tiny_data
from tests.training.seen import Mode, Seen, names_in, pixels, watch

from dae_aqa.errors import TrainingError
from dae_aqa.models.build import build_model, save_model
from dae_aqa.options import flatten
from dae_aqa.packs.store import PackedSample
from dae_aqa.training import stage as tracked_training

PLAIN: dict[str, Any] = {
    "num_epochs": 2,
    "lr": 3e-3,
    "temporal_aug": 0,
    "train.clips.jitter_px": 0,
    "train.clips.flip": False,
    "train.clips.color_jitter": 0.0,
    "train.loss.mse_warmup_fraction": 0.0,
    "train.dropout": 0.0,
    "train.warmup_epochs": 0,
    "train.clip_grad_norm": None,
    "train.schedule": "constant",
    "train.calibrate_sigma": False,
    "train.channels_last": False,
}
TRAIN, VAL = ["t0", "t1", "t2", "t3"], ["v0", "v1", "v2"]
LOG_2_PI = math.log(2 * math.pi)
NUM_BACKBONE_TENSORS, NUM_HEAD_TENSORS = 6 + 2 * 6, 2 * 4  # small3d: convolutions, batch norms
Train = Callable[..., Seen]


@pytest.fixture(scope="module")
def plain(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    return watch(small_options(PLAIN), tiny_data, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def train(small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path) -> Train:
    folders = count()

    def run(**changes: Any) -> Seen:
        # a folder of its own, or a second training would go on from the first one's work
        return watch(small_options(PLAIN | changes), tiny_data, tmp_path / str(next(folders)))

    return run


@dataclass(frozen=True)
class Case:
    """One parameter: its new value, what to look at, and what that shows before and after."""

    key: str
    value: Any
    look: Callable[[Seen], Any]
    before: Any
    after: Any


def lrs(seen: Seen) -> Any:
    return pytest.approx([step.lr for step in seen.steps], rel=1e-6)


def all_passes(name: str) -> Callable[[Seen], Any]:
    return lambda seen: {getattr(one, name) for one in (*seen.train.passes, *seen.val.passes)}


CASES = [
    Case("lr", 1e-4, lrs, [3e-3] * 4, [1e-4] * 4),
    Case("weight_decay", 0.25, lambda seen: {s.weight_decay for s in seen.steps}, {0.0}, {0.25}),
    Case("train_batch_size", 3, lambda seen: seen.train.sizes, [4] * 4, [6, 2] * 2),
    Case("test_batch_size", 1, lambda seen: seen.val.sizes, [4, 2] * 2, [2] * 6),
    Case("num_epochs", 3, lambda seen: len(seen.history), 2, 3),
    Case(
        "train.optimizer",
        "adam",
        lambda seen: {step.kind for step in seen.steps},
        {torch.optim.AdamW},
        {torch.optim.Adam},
    ),
    Case(
        "train.schedule",
        "cosine",
        lrs,
        [3e-3] * 4,
        [3e-3 * math.cos(math.pi * step / 8) ** 2 for step in range(4)],
    ),
    Case("train.warmup_epochs", 1, lrs, [3e-3] * 4, [1e-3, 2e-3, 3e-3, 3e-3]),
    Case("train.warmup_epochs", 0.5, lrs, [3e-3] * 4, [1.5e-3, 3e-3, 3e-3, 3e-3]),
    Case(
        "train.clip_grad_norm",
        1e-3,
        lambda seen: [step.grad_norm > 0.0011 for step in seen.steps],
        [True] * 4,
        [False] * 4,
    ),
    Case(
        "train.accumulate_steps",
        2,
        lambda seen: (seen.train.sizes, len(seen.steps)),
        ([4] * 4, 4),
        ([2] * 8, 4),
    ),
    Case("train.precision", "bf16", all_passes("autocast"), {None}, {torch.bfloat16}),
    Case("train.channels_last", True, all_passes("channels_last"), {False}, {True}),
    Case("train.deterministic", False, all_passes("deterministic"), {True}, {False}),
    Case(
        "train.activation_checkpointing",
        True,
        lambda seen: seen.train.num_convolutions,
        4 * 6,
        4 * 6 * 2,
    ),
    Case(
        "train.bn",
        "frozen",
        lambda seen: [
            set().union(*(p.norms_training for p in mode.passes)) for mode in (seen.train, seen.val)
        ],
        [{True}, {False}],
        [{False}, {False}],
    ),
    Case(
        "train.dropout",
        0.4,
        lambda seen: (set(seen.train.dropouts), seen.val.dropouts),
        (set(), []),
        ({0.4}, []),
    ),
    Case(
        "train.finetune",
        "head",
        lambda seen: {step.num_tensors for step in seen.steps},
        {NUM_BACKBONE_TENSORS + NUM_HEAD_TENSORS},
        {NUM_HEAD_TENSORS},
    ),
    Case(
        "train.backbone_lr_factor",
        0.1,
        lambda seen: {round(lr, 9) for step in seen.steps for lr in step.lrs},
        {3e-3},
        {3e-4, 3e-3},
    ),
    Case(
        "train.calibrate_sigma", True, lambda seen: float(seen.head.sigma_scale) == 1, True, False
    ),
    Case(
        "train.loss.standardize_targets",
        False,
        lambda seen: (float(seen.head.target_mean) != 0, float(seen.head.target_std) != 1),
        (True, True),
        (False, False),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.key}={case.value}")
def test_a_parameter_reaches_torch(case: Case, plain: Seen, train: Train):
    assert case.before == case.look(plain)
    assert case.after == case.look(train(**{case.key: case.value}))


def test_pieces_of_a_batch_that_is_smaller_than_their_number(train: Train):
    """Three samples in two pieces, and the one that is left in one."""
    seen = train(train_batch_size=3, num_epochs=1, **{"train.accumulate_steps": 2})
    assert seen.train.sizes == [4, 2, 2]  # two clips each


def test_num_threads(train: Train, monkeypatch: pytest.MonkeyPatch):
    def set_threads(count: int) -> None:
        asked.append(count)
        raise KeyboardInterrupt

    asked: list[int] = []
    with monkeypatch.context() as patched:  # a fixture sets the number back
        patched.setattr(torch, "set_num_threads", set_threads)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            train(**{"train.num_threads": 2})
    assert asked == [2]


def assert_close(seen: Seen, exact: Seen, *, tolerance: float) -> None:
    """The first epoch is nearly that of full precision, and the weights are kept in it."""
    for name in ("train_loss", "val_mae", "val_nll"):
        expected = pytest.approx(exact.history[name][0], rel=tolerance)
        assert seen.history[name][0] == expected, name
    assert_full_precision(seen)


def assert_full_precision(seen: Seen) -> None:
    assert seen.trained is not None
    floats = [t for t in seen.trained.model.state_dict().values() if t.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.float32}
    assert all(bool(tensor.isfinite().all()) for tensor in floats)


def test_bf16_is_close_to_fp32(plain: Seen, train: Train):
    assert_close(train(**{"train.precision": "bf16"}), plain, tolerance=0.03)


def test_channels_last_changes_rounding_alone(plain: Seen, train: Train):
    assert_close(train(**{"train.channels_last": True}), plain, tolerance=1e-4)


def test_fp16_scales_the_loss_so_that_small_gradients_survive(plain: Seen, train: Train):
    """On a CPU too, where torch's scaler is off by default."""
    seen = train(num_epochs=1, **{"train.precision": "fp16"})
    passes = (*seen.train.passes, *seen.val.passes)
    assert {one.autocast for one in passes} == {torch.float16}
    assert_full_precision(seen)
    assert seen.history["train_loss"][0] == pytest.approx(plain.history["train_loss"][0], rel=0.05)
    scale = seen.steps[0].grad_norm / plain.steps[0].grad_norm
    assert scale == pytest.approx(2**16, rel=0.05)


@pytest.mark.parametrize("limit", [1e-3, 100.0])
def test_fp16_gradients_are_clipped_at_their_own_scale(plain: Seen, train: Train, limit: float):
    seen = train(num_epochs=1, **{"train.precision": "fp16", "train.clip_grad_norm": limit})
    assert 1e-3 < plain.steps[0].grad_norm < 100
    # where scaled gradients overflow, as in a later step here, the scaler leaves the step out
    expected = min(limit, plain.steps[0].grad_norm)
    assert seen.steps[0].grad_norm == pytest.approx(expected, rel=0.05)
    assert_full_precision(seen)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_features_for_a_head_are_computed_as_the_parameters_say(
    train: Train, precision: torch.dtype | None
):
    """Without gradients, once for each sample, in batches and in the precision of the file."""
    name = "bf16" if precision else "fp32"
    seen = train(test_batch_size=3, **{"train.finetune": "head", "train.precision": name})
    assert seen.train.passes == []
    assert seen.val.sizes == [6, 2, 6]  # two clips of each of four and of three samples
    assert {one.autocast for one in seen.val.passes} == {precision}


# --- Clips ----------------------------------------------------------------------------------------


def clips_of(mode: Mode, *, per_sample: int) -> list[tuple[str, np.ndarray]]:
    """Return each sample's name and clips (K, 3, T, S, S), scaled back to 0 … 1, in order."""
    found = []
    for one in mode.passes:
        names = names_in(one.clips, per_sample=per_sample)
        clips = one.clips.unflatten(0, (-1, per_sample)).numpy()
        found += list(zip(names, (clips + 1) / 2, strict=True))
    return found


def assert_clips(seen: Seen, *, starts: tuple[int, ...], **cut: int) -> None:
    """Training and validation saw each sample once an epoch, cut as `pixels` cuts it."""
    for mode, names in ((seen.train, TRAIN), (seen.val, VAL)):
        found = clips_of(mode, per_sample=len(starts))
        assert sorted(name for name, _ in found) == sorted(2 * names)
        for name, clips in found:
            expected = [pixels(name, start=start, **cut) for start in starts]
            np.testing.assert_allclose(clips, expected, atol=1e-6)


def test_plain_clips(plain: Seen):
    assert_clips(plain, starts=(0, 1))
    last = clips_of(plain.last_look, per_sample=2)
    assert sorted(name for name, _ in last) == TRAIN
    for name, clips in last:
        np.testing.assert_allclose(clips, [pixels(name, start=s) for s in (0, 1)], atol=1e-6)


def test_clips_starts(train: Train):
    assert_clips(train(**{"train.clips.starts": [2, 0, 1]}), starts=(2, 0, 1))


def test_clips_num_frames(train: Train):
    assert_clips(train(**{"train.clips.num_frames": 9}), starts=(0, 1), num_frames=9)


def test_clips_stride(small_options: MakeOptions, tmp_path: Path):
    changes = {"train.clips.stride": 2, "extract_frames.num_frames": 17}
    data = make_tiny_data(tmp_path, num_frames=17)
    seen = watch(small_options(PLAIN | changes), data, tmp_path)
    assert_clips(seen, starts=(0, 1), stride=2, window=17)


def test_clips_crop_and_size(train: Train):
    seen = train(**{"train.clips.crop_px": 36, "train.clips.size_px": 36})
    assert_clips(seen, starts=(0, 1), crop_px=36)


def test_clips_size_alone_scales_the_square(train: Train):
    """Halved, each pixel is about the mean of four; the crop is 36 px or it would be another."""
    seen = train(**{"train.clips.crop_px": 40, "train.clips.size_px": 32, "num_epochs": 1})
    for mode in (seen.train, seen.val):
        assert {one.clips.shape[1:] for one in mode.passes} == {(3, 8, 32, 32)}
        for name, clips in clips_of(mode, per_sample=2):
            whole = pixels(name, crop_px=40)
            for quarter in (np.s_[..., :16, :16], np.s_[..., 16:, 16:]):
                border = np.s_[..., :20, :20] if quarter[-1].stop else np.s_[..., 20:, 20:]
                mean = whole[border].mean(axis=(2, 3))
                np.testing.assert_allclose(clips[0][quarter].mean(axis=(2, 3)), mean, atol=2e-3)


NORMALIZATIONS = {  # as their publishers give them
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
def test_clips_normalization(train: Train, name: str):
    seen = train(**{"train.clips.normalization": name, "test_batch_size": 3, "num_epochs": 1})
    mean, std = (np.array(part)[:, None, None, None] for part in NORMALIZATIONS[name])
    for mode, samples in ((seen.train, TRAIN), (seen.val, VAL)):
        clips = torch.cat([one.clips for one in mode.passes])[::2].numpy()
        assert len(clips) == len(samples)
        for sample in samples:
            expected = (pixels(sample) - mean) / std
            assert min(np.abs(clip - expected).max() for clip in clips) < 1e-5


def choices_of(mode: Mode, **ranges: list[Any]) -> list[dict[str, Any]]:
    """Return for each sample of each batch how it was cut: the one way among all that fits."""
    ways = [dict(zip(ranges, values, strict=True)) for values in product(*ranges.values())]
    chosen = []
    for name, clips in clips_of(mode, per_sample=1):
        fitting = [way for way in ways if np.abs(pixels(name, **way) - clips[0]).max() < 1e-6]
        assert len(fitting) == 1, f"{name}: {len(fitting)} ways fit"
        chosen += fitting
    return chosen


ONE_CLIP = {"train.clips.starts": [1], "num_epochs": 5}  # 20 draws


def test_temporal_aug(train: Train):
    seen = train(temporal_aug=2, **ONE_CLIP)
    starts = [way["start"] for way in choices_of(seen.train, start=[-1, 0, 1, 2, 3])]
    assert set(starts) == {0, 1, 2}
    assert {way["start"] for way in choices_of(seen.val, start=[0, 1, 2])} == {1}


def test_temporal_aug_of_an_odd_number_of_frames_reaches_the_margin(train: Train):
    """Three more frames: one before and two after, in one clip that ends with the window."""
    seen = train(temporal_aug=3, **ONE_CLIP | {"train.clips.starts": [2]})
    starts = [way["start"] for way in choices_of(seen.train, start=[0, 1, 2, 3, 4])]
    assert set(starts) == {1, 2, 3, 4}


def test_clips_flip(train: Train):
    seen = train(**{"train.clips.flip": True} | ONE_CLIP)
    flips = [way["flip"] for way in choices_of(seen.train, start=[1], flip=[False, True])]
    assert 3 <= sum(flips) <= 17
    both = choices_of(seen.val, start=[1], flip=[False, True])
    assert not any(way["flip"] for way in both)


def test_clips_jitter(train: Train):
    seen = train(**{"train.clips.jitter_px": 1} | ONE_CLIP)
    shifts = {"down_px": [-1, 0, 1], "right_px": [-1, 0, 1]}
    ways = choices_of(seen.train, start=[1], **shifts)
    for name, values in shifts.items():
        assert {way[name] for way in ways} == set(values)
    assert {tuple(way.values()) for way in choices_of(seen.val, start=[1], **shifts)} == {(1, 0, 0)}


def gains(mode: Mode) -> np.ndarray:
    """Return each sample's factors on red, green and blue, (N, 3)."""
    factors = []
    for name, clips in clips_of(mode, per_sample=1):
        ratio = clips[0] / pixels(name, start=1)
        assert (np.ptp(ratio, axis=(1, 2, 3)) < 1e-4).all()
        factors.append(ratio.mean(axis=(1, 2, 3)))
    return np.array(factors)


def test_clips_color_jitter(train: Train):
    """Each sample of each epoch has factors of its own, and each seed others."""
    changes = {"train.clips.color_jitter": 0.05} | ONE_CLIP
    seen, other = train(**changes), train(**changes | {"seed": 1, "num_epochs": 1})
    found = gains(seen.train)
    assert found.shape == (20, 3)
    assert len(np.unique(found.round(6))) == 60
    assert 0.95 <= found.min() < 0.96 < 1.04 < found.max() <= 1.05
    np.testing.assert_allclose(gains(seen.val), 1.0, atol=1e-5)
    others = gains(other.train)
    assert others.shape == (4, 3)
    assert not set(found.round(5).ravel()) & set(others.round(5).ravel())


@pytest.mark.parametrize(("cache", "reads"), [(True, 1), (False, 2)])
def test_clips_cache(train: Train, monkeypatch: pytest.MonkeyPatch, cache: bool, reads: int):
    """Kept in memory, a sample is read once, not in each of two epochs and for the last look."""
    opened: list[str] = []
    read = PackedSample.read
    monkeypatch.setattr(
        PackedSample,
        "read",
        lambda self, rows: (opened.append(self.meta.sample_id), read(self, rows))[1],
    )
    train(**{"train.clips.cache": cache})
    last_look = [] if cache else TRAIN
    assert sorted(opened) == sorted(reads * (TRAIN + VAL) + last_look)


def test_num_workers(train: Train, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    class Loader:
        def __init__(self, *_: object, num_workers: int, **__: object) -> None:
            asked.append(num_workers)
            raise KeyboardInterrupt

    monkeypatch.setattr("dae_aqa.inference.feeds.DataLoader", Loader)
    for cache in (False, True):
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            train(num_workers=3, **{"train.clips.cache": cache})
    assert asked == [3, 0]  # what is in memory already is not sent between processes


# --- The loss -------------------------------------------------------------------------------------


def mse(mu: np.ndarray, log_variance: np.ndarray, score: np.ndarray) -> np.ndarray:
    del log_variance
    return (mu - score) ** 2


def weighted(alpha: float, beta: float) -> Callable[..., np.ndarray]:
    return lambda mu, v, score: alpha * (score - mu) ** 2 / np.exp(v) + beta * v


def beta_weighted(exponent: float) -> Callable[..., np.ndarray]:
    return lambda mu, v, score: (
        np.exp(v) ** exponent * -(stats.norm.logpdf(score, mu, np.exp(v / 2)) + LOG_2_PI / 2)
    )


def noisy(mu: np.ndarray, v: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The released loss, where all noise is 1."""
    return (mu + np.exp(v / 2) - score) ** 2 + (mu - score) ** 2


def crps(mu: np.ndarray, v: np.ndarray, score: np.ndarray) -> np.ndarray:
    """By numerical integration of the squared distance of both distribution functions."""
    x = np.linspace(-30, 30, 60_001)
    cdf = stats.norm.cdf(x, mu[..., None], np.exp(v / 2)[..., None])
    return ((cdf - (x >= score[..., None])) ** 2).sum(axis=-1) * (x[1] - x[0])


LOSSES: list[tuple[dict[str, Any], list[Callable[..., np.ndarray]]]] = [
    ({}, [weighted(0.6, 0.4)] * 2),
    ({"alpha": 2.0}, [weighted(2.0, 0.4)] * 2),
    ({"beta": 3.0}, [weighted(0.6, 3.0)] * 2),
    ({"name": "beta_nll"}, [beta_weighted(0.5)] * 2),
    ({"name": "beta_nll", "beta_nll": 0.9}, [beta_weighted(0.9)] * 2),
    ({"name": "mse"}, [noisy] * 2),
    ({"name": "crps"}, [crps] * 2),
    ({"mse_warmup_fraction": 0.5}, [mse, weighted(0.6, 0.4)]),
    ({"mse_warmup_fraction": 0.51}, [mse, mse]),
    ({"standardize_targets": False}, [weighted(0.6, 0.4)] * 2),
]


@pytest.mark.parametrize(
    ("changes", "expected"), LOSSES, ids=[str(changes) for changes, _ in LOSSES]
)
def test_the_loss_is_what_the_parameters_say(
    train: Train,
    tiny_data: TinyData,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    expected: list[Callable[..., np.ndarray]],
):
    """The mean over an epoch's samples, from the head's raw outputs and the scores by hand."""
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    seen = train(train_batch_size=3, **{f"train.loss.{key}": v for key, v in changes.items()})
    rows = tiny_data.annotations.set_index("sample_id")
    execution = rows["final_score"] / rows["difficulty"]
    if changes.get("standardize_targets", True):
        known = execution[TRAIN]
        execution = (execution - known.mean()) / known.std()  # of a sample: N - 1
    losses = []
    for one, (mu, log_variance), loss in zip(
        seen.train.passes, seen.train.outputs, np.repeat(expected, 2), strict=True
    ):
        scores = execution[names_in(one.clips, per_sample=2)].to_numpy()[:, None]
        losses += loss(mu, log_variance, scores).ravel().tolist()
    by_epoch = np.array(losses).reshape(2, 4).mean(axis=1)
    tolerance = 1e-3 if changes.get("name") == "crps" else 1e-5
    np.testing.assert_allclose(seen.history["train_loss"], by_epoch, rtol=tolerance)


# --- What is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "column"), [("dae", "final_score"), ("dae_mt", "execution")])
def test_model(train: Train, tiny_data: TinyData, model: str, column: str):
    """Each model learns its own score; the point model has no variance."""
    rows = tiny_data.annotations.assign(execution=lambda t: t["final_score"] / t["difficulty"])
    known = rows.loc[rows["sample_id"].isin(TRAIN), column]
    seen = train(model=model, num_epochs=1)
    assert float(seen.head.target_mean) == pytest.approx(known.mean())
    assert float(seen.head.target_std) == pytest.approx(known.std())
    assert all(log_variance is not None for _, log_variance in seen.train.outputs)


def test_model_of_points(train: Train):
    seen = train(model="mlp", num_epochs=1)
    assert all(log_variance is None for _, log_variance in seen.train.outputs)


def test_backbone_and_its_published_weights(train: Train, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, Any]] = []

    def get_model(name: str, *, weights: Any) -> torch.nn.Module:
        asked.append((name, weights))
        raise KeyboardInterrupt

    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    for pretrained in (False, True):
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            train(backbone="r3d_18", **{"train.pretrained": pretrained})
    assert asked == [("r3d_18", None), ("r3d_18", "DEFAULT")]


def test_backbone_weights(train: Train, tmp_path: Path):
    torch.manual_seed(99)
    other = build_model(
        model="dae",
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )
    save_model(other, tmp_path / "weights.pt", usage={})
    seen = train(
        **{"train.backbone_weights": str(tmp_path / "weights.pt"), "train.finetune": "head"}
    )
    assert seen.trained is not None
    state = seen.trained.model.backbone.state_dict()
    for key, value in other.backbone.state_dict().items():
        assert torch.equal(state[key], value), key


def test_compile(train: Train, monkeypatch: pytest.MonkeyPatch):
    compiled: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__)
    )
    train(num_epochs=1)
    assert compiled == []
    train(num_epochs=1, **{"train.compile": True})
    assert compiled == ["Small3d"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_device(train: Train):
    with pytest.raises(TrainingError, match="'cuda' is not available on this machine"):
        train(device="cuda")


def test_seed(plain: Seen, train: Train):
    """It starts other weights and another order of the samples."""
    other = train(seed=1, num_epochs=1)
    orders = [names_in(one.train.passes[0].clips, per_sample=2) for one in (plain, other)]
    assert orders[0] != orders[1]
    weights = [one.trained.model.head.net.fc1.weight for one in (plain, other) if one.trained]
    assert (weights[0] - weights[1]).abs().max() > 0.05  # far beyond what four steps change


def test_num_processes(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def start(count: int) -> None:
        asked.append(count)
        raise KeyboardInterrupt

    asked: list[int] = []
    monkeypatch.setattr(tracked_training, "start_processes", start)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        tracked_training.train_and_track(
            small_options({"train.num_processes": 2}),
            scoring_rule=None,
            frames=FRAMES,
            performances_of="",
            params={},
            annotations=tiny_data.annotations,
            splits=tiny_data.splits,
            places=tracked_training.TrainPlaces(
                frames_dir=tiny_data.frames_dir,
                annotations_file=tmp_path / "annotations.csv",
                splits_file=tmp_path / "splits.csv",
                trainings_dir=tmp_path,
                features_dir=tmp_path,
                models_dir=tmp_path,
                history_path=tmp_path / "training.csv",
            ),
        )
    assert asked == [2]


# --- The list is whole ----------------------------------------------------------------------------

TESTED_ABOVE = {
    *(case.key for case in CASES),
    *(f"train.loss.{key}" for changes, _ in LOSSES for key in changes),
    *(f"train.clips.{name}" for name in ("starts", "num_frames", "stride", "crop_px", "size_px")),
    *(f"train.clips.{name}" for name in ("jitter_px", "flip", "color_jitter", "normalization")),
    *("train.clips.cache", "train.backbone_weights", "train.pretrained", "train.compile"),
    *("train.num_processes", "train.num_threads", "train.parts_at_once"),
    *("model", "backbone", "seed", "device", "num_workers", "temporal_aug"),
}
BINS = ("num", "low", "high", "std")
EXEMPLARS = ("by", "num_voters", "pairs")
TESTED_ELSEWHERE = {
    "train.select_by": "tests/training/test_validation.py",
    "protocol": "tests/training/test_protocol.py",
    "train.neck": "tests/training/test_methods.py",
    "train.average_mirrored": "tests/training/test_methods.py",
    "train.average_weights": "tests/training/test_methods.py",
    "train.decoding": "tests/training/test_methods.py",
    **{f"train.bins.{name}": "tests/training/test_methods.py" for name in BINS},
    **{f"train.exemplars.{name}": "tests/training/test_methods.py" for name in EXEMPLARS},
    "train.early_stopping_patience": "tests/training/test_loop.py",
    "train.tracking": "tests/training/test_tracked_training.py",
    "train.experiment": "tests/tracking",
}


def test_every_parameter_has_its_test(small_options: MakeOptions):
    keys = set(flatten(small_options()))
    assert keys == TESTED_ABOVE | TESTED_ELSEWHERE.keys()
