"""Typed `params.yaml`: the one file that controls every stage.

Each dataclass below mirrors one section of the file, field by field, and holds no defaults: a value
that is not in the file is an error, so nothing can change a result unseen. `load_params` reads and
checks the whole file once; stages pass plain values on.

The checks are written with the standard library alone, because the training core must import on
bare GPU nodes (see docs/architecture.md). `params_rules` holds what values must fulfil together.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from dae_aqa.errors import ParamsError
from dae_aqa.params_file import did_you_mean, read_params_file, shown
from dae_aqa.params_rules import broken_rules

PARAMS_FILE = Path("params.yaml")
_MAX_PROBLEMS = 50  # named in one message
_FAULTY = object()  # stands for a value that is not as its field says

T = TypeVar("T")


@dataclass(frozen=True)
class Bounds:
    """What a number may be: `low <= value <= high`, or `low < value` with `open_low`."""

    low: float = float("-inf")
    high: float = float("inf")
    open_low: bool = False

    def admits(self, value: float) -> bool:
        """Return whether `value` lies within the bounds."""
        return (self.low < value if self.open_low else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low = "" if self.low == float("-inf") else f"{'>' if self.open_low else '>='} {self.low}"
        high = "" if self.high == float("inf") else f"<= {self.high}"
        return " and ".join(part for part in (low, high) if part)


PositiveInt = Annotated[int, Bounds(1, 1_000_000)]
CountInt = Annotated[int, Bounds(0, 1_000_000)]
Workers = Annotated[int, Bounds(1, 256)]
Pixels = Annotated[int, Bounds(16, 8192)]
Seed = Annotated[int, Bounds(0, 2**63 - 1)]
PositiveFloat = Annotated[float, Bounds(0, open_low=True)]
NonNegativeFloat = Annotated[float, Bounds(0)]
Fraction = Annotated[float, Bounds(0, 1)]

DatasetName = Literal["simdive", "mtl_aqa", "csv"]
ModelName = Literal["mlp", "dae", "dae_mt", "dae_judges"]
Numbering = Literal["decoded", "reference"]
NormalizationName = Literal["backbone", "imagenet", "kinetics", "half"]
Precision = Literal["fp32", "bf16", "fp16"]
ScoringRule = Literal[
    "diving", "synchronised_diving_9", "synchronised_diving_11", "sum_of_elements"
]


@dataclass(frozen=True)
class SimDiveParams:
    """`datasets.simdive`: the embedded, simulated dives."""

    num_dives: Annotated[int, Bounds(2, 1_000_000)]
    dives_per_video: PositiveInt
    test_fraction: Annotated[float, Bounds(0.001, 0.999)]
    seed: Seed
    width: Annotated[int, Bounds(32, 8192)]
    height: Annotated[int, Bounds(32, 8192)]
    fps: Annotated[int, Bounds(5, 120)]
    crf: Annotated[int, Bounds(0, 51)]
    noise_law: Literal["monotone", "mid_peak"]
    replay_probability: Fraction
    min_gap_seconds: Annotated[float, Bounds(0, 60, open_low=True)]
    max_gap_seconds: Annotated[float, Bounds(0, 60, open_low=True)]
    frame_numbering: Numbering
    scoring_rule: ScoringRule


@dataclass(frozen=True)
class MtlAqaParams:
    """`datasets.mtl_aqa`: MTL-AQA, 1,412 dives from 15 broadcasts."""

    annotations_source: str
    videos_dir: str | None
    video_list: str | None
    video_format: str
    frame_numbering: Numbering
    scoring_rule: ScoringRule


@dataclass(frozen=True)
class CsvParams:
    """`datasets.csv`: the user's own videos and a CSV of scores."""

    annotations_csv: str
    videos_dir: str
    min_score: float
    max_score: float
    frame_numbering: Numbering
    scoring_rule: ScoringRule | None


@dataclass(frozen=True)
class DatasetsParams:
    """`datasets`: one section per dataset; only the chosen one is used."""

    simdive: SimDiveParams
    mtl_aqa: MtlAqaParams
    csv: CsvParams


@dataclass(frozen=True)
class DownloadParams:
    """`download`: how files and videos are fetched or rendered."""

    num_workers: Workers
    num_retries: Annotated[int, Bounds(0, 16)]
    timeout_seconds: Annotated[float, Bounds(0, 86_400, open_low=True)]
    allow_missing: bool


@dataclass(frozen=True)
class ExtractFramesParams:
    """`extract_frames`: which frames a sample holds and how they are stored."""

    num_frames: PositiveInt
    margin_frames: Annotated[int, Bounds(0, 10_000)]
    window: Literal["end", "uniform"]
    width: Pixels
    height: Pixels
    resize_filter: Literal["area", "bilinear", "bicubic", "lanczos"]
    image_format: Literal["jpeg", "png"]
    jpeg_quality: Annotated[int, Bounds(1, 100)]
    early_end: Literal["error", "repeat_last"]
    damaged: Literal["error", "exclude"]
    hwaccel: str | None
    num_workers: Workers


@dataclass(frozen=True)
class MakeSplitsParams:
    """`make_splits`: which samples train, which select the epoch, which are tested once."""

    source: Literal["auto", "official", "random"]
    test_fraction: Fraction
    val_fraction: Annotated[float, Bounds(0, 0.9, open_low=True)]
    group_by: Literal["sample", "video"]


@dataclass(frozen=True)
class ClipsParams:
    """`train.clips`: how clips are cut from a sample's frames."""

    starts: tuple[CountInt, ...]
    num_frames: PositiveInt
    stride: PositiveInt
    crop_px: Pixels
    size_px: Pixels
    jitter_px: Annotated[int, Bounds(0, 8192)]
    flip: bool
    color_jitter: Annotated[float, Bounds(0, 0.9)]
    normalization: NormalizationName
    cache: bool


@dataclass(frozen=True)
class LossParams:
    """`train.loss`: what the predicted distribution is trained on."""

    name: Literal["mse", "nll", "beta_nll", "crps"]
    alpha: PositiveFloat
    beta: PositiveFloat
    beta_nll: Fraction
    mse_warmup_fraction: Fraction
    standardize_targets: bool


@dataclass(frozen=True)
class TrainParams:
    """`train`: the optimisation."""

    clips: ClipsParams
    loss: LossParams
    backbone_weights: str | None
    pretrained: bool
    finetune: Literal["all", "head"]
    bn: Literal["train", "frozen"]
    dropout: Annotated[float, Bounds(0, 0.95)]
    optimizer: Literal["adam", "adamw"]
    schedule: Literal["constant", "cosine"]
    warmup_epochs: NonNegativeFloat
    clip_grad_norm: PositiveFloat | None
    accumulate_steps: PositiveInt
    precision: Precision
    channels_last: bool
    compile: bool
    activation_checkpointing: bool
    deterministic: bool
    num_threads: Annotated[int, Bounds(0, 4096)]
    num_processes: Workers
    select_by: Literal["spearman", "loss"]
    early_stopping_patience: PositiveInt | None
    calibrate_sigma: bool
    tracking: bool
    experiment: str


@dataclass(frozen=True)
class EvaluateParams:
    """`evaluate`: metrics and report."""

    checkpoint: str | None
    num_bootstrap: Annotated[int, Bounds(100, 1_000_000)]
    num_worst: CountInt


@dataclass(frozen=True)
class Params:
    """The whole of `params.yaml`."""

    dataset: DatasetName
    model: ModelName
    backbone: str
    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    train_batch_size: PositiveInt
    test_batch_size: PositiveInt
    num_epochs: PositiveInt
    num_workers: Annotated[int, Bounds(0, 256)]
    temporal_aug: CountInt
    seed: Seed
    device: Literal["auto", "cpu", "cuda", "mps"]
    download: DownloadParams
    extract_frames: ExtractFramesParams
    make_splits: MakeSplitsParams
    train: TrainParams
    evaluate: EvaluateParams
    datasets: DatasetsParams

    @property
    def dataset_params(self) -> SimDiveParams | MtlAqaParams | CsvParams:
        """The section of the chosen dataset."""
        section: SimDiveParams | MtlAqaParams | CsvParams = getattr(self.datasets, self.dataset)
        return section


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check `path`.

    Raises:
        ParamsError: the file is missing or no YAML mapping, a key is unknown or missing, a value
            has a wrong type or range, or values do not fit together. Every fault in the file is
            named, not only the first.
    """
    return parse_params(Params, read_params_file(path), source=str(path))


def parse_params(cls: type[T], content: object, *, source: str) -> T:
    """Return `content` (nested mappings, as read from YAML or JSON) as an instance of `cls`.

    Raises:
        ParamsError: as in `load_params`.
    """
    problems: list[str] = []
    params = _parse(cls, content, key="", problems=problems)
    if cls is Params:
        problems += broken_rules(params)
    if problems:
        hidden = len(problems) - _MAX_PROBLEMS
        lines = "\n".join(f"  {problem}" for problem in problems[:_MAX_PROBLEMS])
        lines += f"\n  … and {hidden} more" if hidden > 0 else ""
        raise ParamsError(f"{source}: {len(problems)} problem(s):\n{lines}")
    return typing.cast(T, params)


def flatten(params: object, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a params dataclass by dotted key, e.g. `{'train.loss.name': 'nll'}`."""
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, params)):
        value = getattr(params, field.name)
        key = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            leaves.update(flatten(value, f"{key}."))
        else:
            leaves[key] = list(value) if isinstance(value, tuple) else value
    return leaves


def _parse(annotation: Any, value: object, *, key: str, problems: list[str]) -> Any:
    """Return `value` as `annotation` says; on a fault, add to `problems` and return `_FAULTY`."""
    origin = typing.get_origin(annotation)
    if dataclasses.is_dataclass(annotation):
        return _parse_section(annotation, value, key=key, problems=problems)
    if origin is Annotated:
        base, bounds = typing.get_args(annotation)
        number = _parse(base, value, key=key, problems=problems)
        if number is not _FAULTY and not bounds.admits(number):
            problems.append(f"{key}: {shown(value)} is out of range; expected a number {bounds}.")
            return _FAULTY
        return number
    if origin in (Union, types.UnionType):
        inner = next(arg for arg in typing.get_args(annotation) if arg is not type(None))
        return None if value is None else _parse(inner, value, key=key, problems=problems)
    if origin is Literal:
        choices = typing.get_args(annotation)
        if value in choices:
            return value
        hint = did_you_mean(value, choices)
        problems.append(
            f"{key}: {shown(value)} is not allowed{hint}; expected one of: {', '.join(choices)}."
        )
        return _FAULTY
    if origin is tuple:
        return _parse_list(annotation, value, key=key, problems=problems)
    return _parse_scalar(annotation, value, key=key, problems=problems)


def _parse_section(cls: Any, value: object, *, key: str, problems: list[str]) -> Any:
    """Return an instance of `cls`; where fields are faulty, a namespace of those that are not."""
    if not isinstance(value, Mapping):
        problems.append(f"{key or 'the file'}: expected a section with keys, got {shown(value)}.")
        return _FAULTY
    fields = typing.get_type_hints(cls, include_extras=True)
    prefix = f"{key}." if key else ""
    for name in value:
        if name not in fields:
            hint = did_you_mean(name, fields)
            label = name if isinstance(name, str) and len(name) < 100 else shown(name)
            problems.append(f"{prefix}{label}: unknown key{hint}; known: {', '.join(fields)}.")
    for name in fields:
        if name not in value:
            problems.append(f"{prefix}{name}: missing; every key must be in the file.")
    parsed = {
        name: _parse(field, value[name], key=f"{prefix}{name}", problems=problems)
        for name, field in fields.items()
        if name in value
    }
    good = {name: part for name, part in parsed.items() if part is not _FAULTY}
    if any(isinstance(part, types.SimpleNamespace) for part in good.values()):
        return types.SimpleNamespace(**good)
    return cls(**good) if len(good) == len(fields) else types.SimpleNamespace(**good)


def _parse_list(annotation: Any, value: object, *, key: str, problems: list[str]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(f"{key}: expected a list, got {shown(value)}.")
        return _FAULTY
    item_type = typing.get_args(annotation)[0]
    items = tuple(
        _parse(item_type, item, key=f"{key}[{index}]", problems=problems)
        for index, item in enumerate(value)
    )
    return _FAULTY if _FAULTY in items else items


def _parse_scalar(annotation: type, value: object, *, key: str, problems: list[str]) -> Any:
    expected = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    got = f"{shown(value)} ({type(value).__name__})"
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < sys.float_info.max:
            return float(value)
        problems.append(f"{key}: expected a finite number, got {shown(value)}.")
    elif isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{key}: expected a finite number, got {value!r}.")
    # bool is a subclass of int in Python, yet `num_epochs: true` is a mistake
    elif not isinstance(value, annotation) or (annotation is int and isinstance(value, bool)):
        problems.append(f"{key}: expected {expected[annotation]}, got {got}.")
    elif isinstance(value, str) and (not value.strip() or min(value) < " "):
        problems.append(
            f"{key}: expected a text that is not blank and has no control characters, got {got}."
        )
    else:
        return value
    return _FAULTY
