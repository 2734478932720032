"""Typed `params.yaml`: the one file that controls every stage.

Each dataclass below mirrors one section of the file, field by field, and holds no defaults: a value
that is not in the file is an error, so nothing can change a result unseen. `load_params` reads and
checks the whole file once; stages pass plain values on.

The checks are written here, with the standard library alone, because the training core must import
on bare GPU nodes (see docs/architecture.md).
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import yaml

from dae_aqa.errors import ParamsError

PARAMS_FILE = Path("params.yaml")

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
        low = "" if self.low == float("-inf") else f"{'>' if self.open_low else '>='} {self.low:g}"
        high = "" if self.high == float("inf") else f"<= {self.high:g}"
        return " and ".join(part for part in (low, high) if part)


PositiveInt = Annotated[int, Bounds(1)]
CountInt = Annotated[int, Bounds(0)]
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

    num_dives: PositiveInt
    dives_per_video: PositiveInt
    test_fraction: Fraction
    seed: CountInt
    width: PositiveInt
    height: PositiveInt
    fps: PositiveInt
    crf: Annotated[int, Bounds(0, 51)]
    noise_law: Literal["monotone", "mid_peak"]
    replay_probability: Fraction
    min_gap_seconds: PositiveFloat
    max_gap_seconds: PositiveFloat
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

    num_workers: PositiveInt
    num_retries: CountInt
    timeout_seconds: PositiveFloat
    allow_missing: bool


@dataclass(frozen=True)
class ExtractFramesParams:
    """`extract_frames`: which frames a sample holds and how they are stored."""

    num_frames: PositiveInt
    margin_frames: CountInt
    window: Literal["end", "uniform"]
    width: PositiveInt
    height: PositiveInt
    resize_filter: Literal["area", "bilinear", "bicubic", "lanczos"]
    image_format: Literal["jpeg", "png"]
    jpeg_quality: Annotated[int, Bounds(1, 100)]
    early_end: Literal["error", "repeat_last"]
    damaged: Literal["error", "exclude"]
    hwaccel: str | None
    num_workers: PositiveInt


@dataclass(frozen=True)
class MakeSplitsParams:
    """`make_splits`: which samples train, which select the epoch, which are tested once."""

    source: Literal["official", "random"]
    test_fraction: Fraction
    val_fraction: Annotated[float, Bounds(0, 0.9, open_low=True)]
    group_by: Literal["sample", "video"]


@dataclass(frozen=True)
class ClipsParams:
    """`train.clips`: how clips are cut from a sample's frames."""

    starts: tuple[CountInt, ...]
    num_frames: PositiveInt
    stride: PositiveInt
    crop_px: PositiveInt
    size_px: PositiveInt
    jitter_px: CountInt
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
    num_threads: CountInt
    num_processes: PositiveInt
    select_by: Literal["spearman", "loss"]
    early_stopping_patience: PositiveInt | None
    calibrate_sigma: bool
    tracking: bool
    experiment: str


@dataclass(frozen=True)
class EvaluateParams:
    """`evaluate`: metrics and report."""

    checkpoint: str | None
    num_bootstrap: Annotated[int, Bounds(100)]
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
    num_workers: CountInt
    temporal_aug: CountInt
    seed: CountInt
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
        ParamsError: the file is missing or no YAML mapping, a key is unknown or missing, or a value
            has a wrong type or range. Every fault in the file is named, not only the first.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Yaml12Loader)  # noqa: S506
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path}: no such file. Run the command in the repository's root, where it lies."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from error
    return parse_params(Params, content, source=str(path))


def parse_params(cls: type[T], content: object, *, source: str) -> T:
    """Return `content` (nested mappings, as read from YAML or JSON) as an instance of `cls`.

    Raises:
        ParamsError: as in `load_params`.
    """
    problems: list[str] = []
    params = _parse(cls, content, key="", problems=problems)
    if not problems and isinstance(params, Params):
        problems = _cross_check(params)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
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


def _cross_check(params: Params) -> list[str]:
    """Return the faults that only two values together show."""
    problems = []
    extract, clips = params.extract_frames, params.train.clips
    if extract.window == "end" and params.temporal_aug > 2 * extract.margin_frames:
        problems.append(
            f"temporal_aug: {params.temporal_aug} needs more than the {extract.margin_frames} "
            "frames that extract_frames.margin_frames keeps on either side; raise that or lower "
            "this."
        )
    if not clips.starts:
        problems.append("train.clips.starts: needs at least one clip start.")
    else:
        last = max(clips.starts) + (clips.num_frames - 1) * clips.stride
        if last >= extract.num_frames:
            problems.append(
                f"train.clips: the last clip ends at frame {last}, but a sample has only "
                f"{extract.num_frames} frames (extract_frames.num_frames), counted from 0."
            )
    is_released = params.backbone == "i3d" and params.model in ("dae", "dae_mt")
    if params.evaluate.checkpoint is not None and not is_released:
        problems.append(
            "evaluate.checkpoint: a released checkpoint holds the backbone i3d with the head of a "
            f"dae or a dae_mt, but backbone is {params.backbone!r} and model {params.model!r}. Set "
            "both, as `dae-aqa recipe mtl_aqa_dae_mt` does, or set it to null to train."
        )
    padded_px = clips.crop_px * (1 + 2 * clips.jitter_px / clips.size_px)
    if padded_px > min(extract.width, extract.height):
        problems.append(
            f"train.clips: crop_px {clips.crop_px} with jitter_px {clips.jitter_px} needs a square "
            f"of {padded_px:g} px, but frames have {extract.width}x{extract.height} "
            "(extract_frames); lower one of the two."
        )
    if params.train.compile and params.train.activation_checkpointing:
        problems.append(
            "train.compile: cannot go together with train.activation_checkpointing, since compiled "
            "code decides by itself what it keeps; set one of the two to false."
        )
    return problems


def _parse(annotation: Any, value: object, *, key: str, problems: list[str]) -> Any:
    """Return `value` as `annotation` says; on a fault, add a line to `problems` and return None."""
    origin = typing.get_origin(annotation)
    if dataclasses.is_dataclass(annotation):
        return _parse_section(annotation, value, key=key, problems=problems)
    if origin is Annotated:
        base, bounds = typing.get_args(annotation)
        number = _parse(base, value, key=key, problems=problems)
        if number is not None and not bounds.admits(number):
            problems.append(f"{key}: {value!r} is out of range; expected a number {bounds}.")
        return number
    if origin in (Union, types.UnionType):
        inner = next(arg for arg in typing.get_args(annotation) if arg is not type(None))
        return None if value is None else _parse(inner, value, key=key, problems=problems)
    if origin is Literal:
        choices = typing.get_args(annotation)
        if value not in choices:
            hint = _did_you_mean(str(value), [str(choice) for choice in choices])
            allowed = ", ".join(str(choice) for choice in choices)
            problems.append(f"{key}: {value!r} is not allowed{hint}; expected one of: {allowed}.")
        return value
    if origin is tuple:
        return _parse_list(annotation, value, key=key, problems=problems)
    return _parse_scalar(annotation, value, key=key, problems=problems)


def _parse_section(cls: Any, value: object, *, key: str, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{key or 'the file'}: expected a section with keys, got {value!r}.")
        return None
    fields = typing.get_type_hints(cls, include_extras=True)
    prefix = f"{key}." if key else ""
    for name in value:
        if name not in fields:
            hint = _did_you_mean(str(name), list(fields))
            problems.append(f"{prefix}{name}: unknown key{hint}; known: {', '.join(fields)}.")
    for name in fields:
        if name not in value:
            problems.append(f"{prefix}{name}: missing; every key must be in the file.")
    before = len(problems)
    parsed = {
        name: _parse(field, value[name], key=f"{prefix}{name}", problems=problems)
        for name, field in fields.items()
        if name in value
    }
    complete = len(problems) == before and len(parsed) == len(fields)
    return cls(**parsed) if complete else None


def _parse_list(annotation: Any, value: object, *, key: str, problems: list[str]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(f"{key}: expected a list, got {value!r}.")
        return None
    item_type = typing.get_args(annotation)[0]
    return tuple(
        _parse(item_type, item, key=f"{key}[{index}]", problems=problems)
        for index, item in enumerate(value)
    )


def _parse_scalar(annotation: type, value: object, *, key: str, problems: list[str]) -> Any:
    expected = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{key}: expected a finite number, got {value!r}.")
        return None
    # bool is a subclass of int in Python, yet `num_epochs: true` is a mistake
    if isinstance(value, annotation) and not (annotation is int and isinstance(value, bool)):
        return value
    problems.append(
        f"{key}: expected {expected[annotation]}, got {value!r} ({type(value).__name__})."
    )
    return None


def _did_you_mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class _Yaml12Loader(yaml.SafeLoader):
    """Reads as DVC does.

    PyYAML follows YAML 1.1, where `1e-4` is a text; DVC follows 1.2, where it is a number, and
    refuses a key that is given twice.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of `node`; a key given twice is a YAML error."""
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(
                problem=f"{twice!r} is given twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)
