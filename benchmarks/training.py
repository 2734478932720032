"""Speed and memory of training I3D, against a plain rewrite of the released loop.

    python benchmarks/training.py [--samples 4] [--batch 1] [--repeats 5] [--epochs 6] [--compile]

Released way, written anew: frames opened by PIL one by one, resized, cropped and normalised;
float32; nine backbone calls for the first nine clips of a batch and one for the tenth; Adam on
MSE(z, s) + MSE(mu, s). Ours: packed samples, all clips in one call, bf16, channels-last, frozen
batch norms folded into the convolutions. Both train the same
network on the same frames, and take turns, so that they meet the same load of the machine; figures
are medians, factors are medians of paired ratios.

Runs on the CPU or on one CUDA device. `--quick` shrinks everything, to show that it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from _common import RESULTS_DIR, markdown_table, plain_meta, write_result
from dae_aqa.clips.augmentation import Augmenter
from dae_aqa.clips.dataset import SampleDataset
from dae_aqa.clips.layout import PUBLISHED_LAYOUT, ClipLayout
from dae_aqa.inference.device import compile_in_place, keep_freed_memory
from dae_aqa.inference.feeds import ClipFeed
from dae_aqa.inference.predict import autocast
from dae_aqa.models.backbones.i3d import I3D, ConvUnit, Mixed, SamePool
from dae_aqa.models.build import build_model
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.normalization import IMAGENET
from dae_aqa.models.options import LossOptions
from dae_aqa.models.targets import make_targets
from dae_aqa.packs.store import write_packed_sample
from dae_aqa.training.schedule import make_optimizer

NUM_FRAMES, SIZE, STORED = 103, (640, 360), (455, 256)
QUICK = ClipLayout(starts=(0, 4), num_frames=8, stride=1, crop_px=32, size_px=32, jitter_px=0)
LOSS = LossOptions(
    name="mse",
    alpha=0.5,
    beta=0.5,
    beta_nll=0.5,
    mse_warmup_fraction=0.0,
    standardize_targets=False,
)
MIRRORED = Augmenter(num_shifts=0, flip=True, color_jitter=0.0, seed=0)
LR, WEIGHT_DECAY = 1e-4, 1e-5
GPU_MEMORY_GB = 12
TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True)
class Setting:
    """What is measured: clips, batch, data and device."""

    layout: ClipLayout
    batch: int
    num_samples: int
    num_workers: int
    device: torch.device
    folder: Path

    @property
    def num_clips(self) -> int:
        """Clips of a batch."""
        return self.batch * len(self.layout.starts)


# --- Data -----------------------------------------------------------------------------------------


def write_samples(folder: Path, *, num_samples: int, num_frames: int) -> None:
    """Write samples both as loose 640×360 JPEGs and as packed 455×256 ones."""
    for index in range(num_samples):
        rng = np.random.default_rng(index)
        small = rng.integers(30, 200, (18, 32, 3)).astype(np.uint8)
        scene = np.asarray(Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC))
        images = []
        for frame in range(num_frames):
            noise = rng.normal(0, 1.3, (*scene.shape[:2], 1))
            moved = np.roll(scene, 2 * frame, axis=1) + noise
            picture = Image.fromarray(np.clip(moved, 0, 255).astype(np.uint8))
            path = folder / f"loose{index}" / f"{frame:06d}.jpg"
            path.parent.mkdir(exist_ok=True)
            picture.save(path, quality=90)
            stored = folder / "stored.jpg"
            picture.resize(STORED, Image.Resampling.BOX).save(stored, quality=92)
            images.append(stored.read_bytes())
        meta = plain_meta(f"s{index}", num_frames=num_frames, size=STORED)
        write_packed_sample(folder / f"s{index}.zip", meta=meta, images=images)


class LooseFrames(Dataset[Tensor]):
    """The frames of a sample as the released loader makes them: (3, F, S, S) float32."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.mean = torch.tensor(IMAGENET.mean).view(3, 1, 1)
        self.std = torch.tensor(IMAGENET.std).view(3, 1, 1)

    def __len__(self) -> int:
        return self.setting.num_samples

    def __getitem__(self, index: int) -> Tensor:
        """Return one sample; frames lie along the second axis."""
        size = self.setting.layout.size_px
        left, top = (STORED[0] - size) // 2, (STORED[1] - size) // 2
        frames = []
        for path in sorted((self.setting.folder / f"loose{index}").glob("*.jpg")):
            image = Image.open(path).convert("RGB").resize(STORED)
            image = image.crop((left, top, left + size, top + size))
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
            frames.append((pixels - self.mean) / self.std)
        return torch.stack(frames, dim=1)


# --- The two ways ---------------------------------------------------------------------------------


def plain_unit(unit: ConvUnit, x: Tensor) -> Tensor:
    """Convolution, batch norm and ReLU, one after the other."""
    if not unit.pads_itself:
        x = functional.pad(x, plain_pads(x, unit.conv3d.kernel_size, unit.conv3d.stride))
    return functional.relu(unit.bn(unit.conv3d(x)))


def plain_pool(pool: SamePool, x: Tensor) -> Tensor:
    """Zero padding, then pooling."""
    padded = functional.pad(x, plain_pads(x, pool.kernel, pool.stride))
    return functional.max_pool3d(padded, pool.kernel, pool.stride)


def plain_mixed(mixed: Mixed, x: Tensor) -> Tensor:
    """Four branches, one after the other."""
    branches = (
        mixed.b0(x),
        mixed.b1b(mixed.b1a(x)),
        mixed.b2b(mixed.b2a(x)),
        mixed.b3b(mixed.b3a(x)),
    )
    return torch.cat(branches, dim=1)


def plain_pads(x: Tensor, kernel: Any, stride: Any) -> list[int]:
    """Return TensorFlow's SAME padding in the order of `F.pad`."""
    pads: list[int] = []
    for length, width, step in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(width - (length % step or step), 0)
        pads = [total // 2, total - total // 2, *pads]
    return pads


def as_released(net: I3D) -> None:
    """Let `net` compute the same, in the plain way."""
    plain = {ConvUnit: plain_unit, SamePool: plain_pool, Mixed: plain_mixed}
    for module in net.modules():
        if type(module) in plain:
            module.forward = functools.partial(plain[type(module)], module)


class Released:
    """The released loop, written anew."""

    name = "released way"

    def __init__(self, model: ScoreModel, setting: Setting) -> None:
        self.setting = setting
        self.model = model.to(setting.device)
        as_released(model.backbone)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
        self.loader = DataLoader(
            LooseFrames(setting),
            batch_size=setting.batch,
            num_workers=setting.num_workers,
            persistent_workers=setting.num_workers > 0,
        )
        self.wait_seconds = 0.0

    def batches(self) -> Iterator[Tensor]:
        """Yield the frames (N, 3, F, S, S) of each batch."""
        self.wait_seconds = 0.0
        asked = time.perf_counter()
        for frames in self.loader:
            self.wait_seconds += time.perf_counter() - asked
            yield frames.to(self.setting.device)
            asked = time.perf_counter()

    def output(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log sigma² of a batch: a backbone call per clip, then the head."""
        layout = self.setting.layout
        features = [
            self.model.backbone(frames[:, :, start : start + layout.num_frames])
            for start in layout.starts
        ]
        mu, log_variance = self.model.head.net(torch.stack(features, dim=1).mean(dim=1))
        return mu, log_variance

    def train_step(self, frames: Tensor, scores: Tensor) -> None:
        """Take one optimizer step."""
        mu, log_variance = self.output(frames)
        z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu)
        target = scores[:, None]
        loss = functional.mse_loss(z, target) + functional.mse_loss(mu, target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def infer(self, frames: Tensor) -> Tensor:
        """Return mu of a batch."""
        return self.output(frames)[0]


class Ours:
    """This project's feed, model and optimizer."""

    name = "ours"

    def __init__(self, model: ScoreModel, setting: Setting, *, compiled: bool = False) -> None:
        self.setting = setting
        self.model = model.to(setting.device).to(memory_format=torch.channels_last_3d)
        if compiled:
            self.name = "ours, compiled"
            compile_in_place(model.backbone, device=setting.device)
        self.optimizer = make_optimizer(
            [(model.parameters(), 1.0)], name="adam", lr=LR, weight_decay=WEIGHT_DECAY
        )
        dataset = SampleDataset(
            sample_ids=[f"s{index}" for index in range(setting.num_samples)],
            frames_dir=setting.folder,
            layout=setting.layout,
            augmenter=MIRRORED,
            cache=False,
        )
        self.feed = ClipFeed(
            dataset,
            layout=setting.layout,
            normalization=IMAGENET,
            num_workers=setting.num_workers,
            device=setting.device,
        )

    @property
    def wait_seconds(self) -> float:
        """Seconds that the last pass waited for data."""
        return self.feed.wait_seconds

    def batches(self) -> Iterator[Tensor]:
        """Yield the clips (N, K, 3, T, S, S) of each batch."""
        rows = range(self.setting.num_samples)
        groups = [rows[first : first + self.setting.batch] for first in rows[:: self.setting.batch]]
        for _, clips in self.feed.batches(groups, epoch=0):
            yield clips

    def train_step(self, clips: Tensor, scores: Tensor) -> None:
        """Take one optimizer step."""
        targets = make_targets(
            final_score=scores.tolist(),
            difficulty=[1.0] * len(scores),
            judge_scores=None,
            scoring_rule=None,
            sample_ids=[str(row) for row in range(len(scores))],
        ).to(self.setting.device)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.setting.device, "bf16"):
            output = self.model(clips)
        loss = self.model.loss(output, targets, options=LOSS, warmup=False)
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def infer(self, clips: Tensor) -> Tensor:
        """Return mu of a batch."""
        with autocast(self.setting.device, "bf16"):
            mu: Tensor = self.model(clips).values
        return mu


Way = Released | Ours


def make_model() -> ScoreModel:
    """Return DAE on a fresh I3D, batch norms frozen as released."""
    torch.manual_seed(0)
    model = build_model(
        model="dae",
        backbone="i3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )
    model.set_bn_mode("frozen")
    return model.train()


# --- Measuring ------------------------------------------------------------------------------------


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """Return how long `action` takes, until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait for what the device still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(
    actions: dict[str, Callable[[], object]], *, repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Return the seconds of each action in each round; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(repeats + 1):
        for name, action in actions.items():
            taken = seconds(action, device)
            if turn > 0:
                times[name].append(taken)
    return times


def matmul_peaks(device: torch.device, *, repeats: int) -> dict[str, float]:
    """Return TFLOP/s of square matrix products, the best of several, per precision."""
    size = 8192 if device.type == "cuda" else 2048
    peaks = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(size, size, device=device).to(dtype)
        multiply = functools.partial(torch.mm, a, a)
        multiply()
        best = min(seconds(multiply, device) for _ in range(2 * repeats))
        peaks[name] = 2 * size**3 / best / TERA
    return peaks


def count_flops(layout: ClipLayout) -> dict[str, float]:
    """Return FLOPs (two per multiply-add) of I3D per clip, forward and for a training step."""
    counts = {}
    with torch.device("meta"):
        net = I3D(layout="inception").eval()
        clip = torch.empty(1, 3, layout.num_frames, layout.size_px, layout.size_px)
        with FlopCounterMode(display=False) as counter:
            features = net(clip)
        counts["inference"] = float(counter.get_total_flops())
        with counter:
            net(clip).sum().backward()
        counts["training_step"] = float(counter.get_total_flops())
    del features
    return counts


def epoch_with_loading(way: Way, device: torch.device) -> dict[str, float]:
    """Train one epoch, frames read from the disk; return its seconds and where they went."""
    busy: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    synchronize(device)
    start = time.perf_counter()
    for batch in way.batches():
        scores = torch.full((len(batch),), 0.5, device=device)
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            way.train_step(batch, scores)
            end.record()
            busy.append((begin, end))
        else:
            way.train_step(batch, scores)
    synchronize(device)
    taken = time.perf_counter() - start
    figures = {"seconds": taken, "data_wait_fraction": way.wait_seconds / taken}
    if busy:
        in_steps = sum(begin.elapsed_time(end) for begin, end in busy) / 1000
        figures["device_busy_fraction"] = in_steps / taken
    return figures


def memory_per_epoch(setting: Setting, *, num_epochs: int) -> list[dict[str, float]]:
    """Return the peak resident (and device) memory of each epoch of ours, in MB."""
    way = Ours(make_model(), setting)
    peaks = []
    for _ in range(num_epochs):
        reset_peak_memory(setting.device)
        epoch_with_loading(way, setting.device)
        peaks.append(peak_memory(setting.device))
    return peaks


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new peak, where the system can."""
    with contextlib.suppress(OSError):  # the peak is then that since the start
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the peaks since `reset_peak_memory`, in MB."""
    kilobytes = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        kilobytes = next(float(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    peaks = {"resident_mb": kilobytes * 1024 / 1e6}
    if device.type == "cuda":
        peaks["device_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    return peaks


def activation_bytes(layout: ClipLayout) -> dict[str, float]:
    """Return what training I3D in bf16 keeps for the backward pass, in bytes per clip.

    `kept` is all of it; with activation checkpointing `stage_inputs` stay, and `largest_stage` is
    added while that stage is computed anew.
    """
    net = make_model().backbone.to(memory_format=torch.channels_last_3d)

    def held(num_clips: int) -> tuple[list[float], list[float]]:
        """Return the bytes of the input of each stage, and of what each of them keeps."""
        x = torch.randn(num_clips, 3, layout.num_frames, layout.size_px, layout.size_px)
        inputs, kept = [], []
        seen: set[int] = set()
        for stage in net.stages():
            inputs.append(float(x.untyped_storage().nbytes()))
            saved: dict[int, int] = {}

            def pack(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
                storage = tensor.untyped_storage()
                saved[storage._cdata] = storage.nbytes()
                return tensor

            with (
                torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
                torch.autocast("cpu", torch.bfloat16),
            ):
                x = stage(x)
            # a stage's output is kept by the next one, too
            kept.append(float(sum(size for key, size in saved.items() if key not in seen)))
            seen |= set(saved)
        return inputs, kept

    # the difference of two batches leaves out weights, which are kept once whatever the batch
    one, two = held(1), held(2)
    inputs, kept = (
        [more - less for less, more in zip(*pair, strict=True)]
        for pair in zip(one, two, strict=True)
    )
    return {"kept": sum(kept), "stage_inputs": sum(inputs), "largest_stage": max(kept)}


def gigabytes_needed(per_clip: dict[str, float], *, num_clips: int) -> dict[str, float]:
    """Return GB for weights, gradients, Adam's two moments and the activations of a batch."""
    fixed = 4 * 4 * sum(p.numel() for p in I3D(layout="inception").parameters())
    thrifty = per_clip["stage_inputs"] + per_clip["largest_stage"]
    return {
        "plain": (fixed + num_clips * per_clip["kept"]) / GIGA,
        "checkpointing": (fixed + num_clips * thrifty) / GIGA,
    }


def memory_table(layout: ClipLayout) -> dict[str, Any]:
    """Return what a batch of eight samples needs, per `accumulate_steps`."""
    per_clip = activation_bytes(layout)
    rows = [
        {
            "accumulate_steps": pieces,
            **gigabytes_needed(per_clip, num_clips=8 * len(layout.starts) // pieces),
        }
        for pieces in (1, 2, 4, 8)
    ]
    return {"bytes_per_clip": per_clip, "batch_of_eight_gb": rows}


def compare(setting: Setting, *, repeats: int, compiled: bool) -> dict[str, Any]:
    """Return the figures of all ways, per kind of work."""
    device = setting.device
    ways: list[Way] = [Released(make_model(), setting), Ours(make_model(), setting)]
    if compiled:
        ways.append(Ours(make_model(), setting, compiled=True))
    inputs = {way.name: next(iter(way.batches())) for way in ways}
    scores = torch.full((setting.batch,), 0.5, device=device)
    steps = {way.name: functools.partial(way.train_step, inputs[way.name], scores) for way in ways}
    inferences = {way.name: functools.partial(way.infer, inputs[way.name]) for way in ways}
    flops = count_flops(setting.layout)
    peaks = matmul_peaks(device, repeats=repeats)
    result: dict[str, Any] = {"matmul_tflops": peaks, "gflop_per_clip": {}}
    for work, actions in (("training_step", steps), ("inference", inferences)):
        print(f"measuring {work}", file=sys.stderr)
        times = in_turns(actions, repeats=repeats, device=device)
        total = flops[work] * setting.num_clips / TERA
        result["gflop_per_clip"][work] = flops[work] / GIGA
        result[work] = {
            name: {
                "seconds": statistics.median(values),
                "times_faster": times_faster(times[Released.name], values),
                "tflops": total / statistics.median(values),
                "fraction_of_peak": total
                / statistics.median(values)
                / peaks["fp32" if name == Released.name else "bf16"],
            }
            for name, values in times.items()
        }
    print("measuring epochs with loading", file=sys.stderr)
    epochs: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
    for _ in range((repeats + 1) // 2):
        for way in ways:
            epochs[way.name].append(epoch_with_loading(way, device))
    released = [epoch["seconds"] for epoch in epochs[Released.name]]
    result["epoch"] = {
        name: {key: statistics.median([epoch[key] for epoch in measured]) for key in measured[0]}
        | {"times_faster": times_faster(released, [epoch["seconds"] for epoch in measured])}
        for name, measured in epochs.items()
    }
    return result


def times_faster(released: list[float], ours: list[float]) -> float:
    """Return the median of the paired ratios."""
    return statistics.median([old / new for old, new in zip(released, ours, strict=True)])


def table(result: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows = []
    for work in ("training_step", "inference", "epoch"):
        for name, figures in result[work].items():
            row = [work.replace("_", " "), name, figures["seconds"], figures["times_faster"]]
            achieved = [figures.get(key, "") for key in ("tflops", "fraction_of_peak")]
            rows.append([*row, *achieved, figures.get("data_wait_fraction", "")])
    header = ("work", "way", "seconds", "times faster", "TFLOP/s", "of peak", "waiting for data")
    return markdown_table(header, rows)


def main() -> None:
    """Measure, write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1, help="samples per step")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="of the memory figures")
    parser.add_argument("--workers", type=int, default=0, help="loader processes of either way")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="measure compiled code, too")
    parser.add_argument("--quick", action="store_true", help="tiny clips, for tests")
    parser.add_argument("--work", type=Path, default=None, help="folder for the generated samples")
    parser.add_argument("--results", type=Path, default=RESULTS_DIR, help="folder of the JSON")
    args = parser.parse_args()
    layout = QUICK if args.quick else PUBLISHED_LAYOUT
    keep_freed_memory()  # as a training does; the released way profits from it here, too
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        setting = Setting(
            layout=layout,
            batch=args.batch,
            num_samples=args.samples,
            num_workers=args.workers,
            device=torch.device(args.device),
            folder=Path(name),
        )
        num_frames = NUM_FRAMES if not args.quick else int(QUICK.frame_indices[-1]) + 1
        write_samples(setting.folder, num_samples=args.samples, num_frames=num_frames)
        # first, since memory that was used once is kept: nothing larger may have come before
        small = Setting(QUICK, args.batch, args.samples, 0, setting.device, setting.folder)
        result: dict[str, Any] = {
            "memory_per_epoch": memory_per_epoch(small, num_epochs=args.epochs)
        }
        result |= compare(setting, repeats=args.repeats, compiled=args.compile)
    result["activations"] = memory_table(layout)
    settings = {key: str(value) if key == "device" else value for key, value in vars(args).items()}
    del settings["work"], settings["results"]
    threads = torch.get_num_threads()
    path = write_result(
        "training",
        {"settings": settings, "num_threads": threads, **result},
        folder=args.results,
    )
    print(table(result))
    memory = result["activations"]["batch_of_eight_gb"]
    print(markdown_table(list(memory[0]), [list(row.values()) for row in memory]))
    print(path)


if __name__ == "__main__":
    main()
