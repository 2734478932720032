"""What values of `params.yaml` must fulfil together, and facts of backbones that they depend on.

Everything here is a literal or a comparison, so that a check takes no time and imports no torch;
tests hold the facts against the backbones themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dae_aqa.params_file import did_you_mean, shown

if TYPE_CHECKING:
    from dae_aqa.params import Params

_MAX_EXPERIMENT_CHARACTERS = 250  # MLflow's column holds 256


class BackboneFacts(NamedTuple):
    """What must be known of a backbone before it is built.

    Attributes:
        min_clip: smallest (frames, height_px, width_px) of a clip.
        exact_clip: it takes clips of that size alone.
        is_torchvision: torchvision has it, and pretrained weights for it.
    """

    min_clip: tuple[int, int, int]
    exact_clip: bool = False
    is_torchvision: bool = True


BACKBONES = {
    "small3d": BackboneFacts((8, 32, 32), is_torchvision=False),
    "i3d": BackboneFacts((8, 32, 32), is_torchvision=False),
    "r3d_18": BackboneFacts((8, 32, 32)),
    "mc3_18": BackboneFacts((2, 32, 32)),
    "r2plus1d_18": BackboneFacts((8, 32, 32)),
    "s3d": BackboneFacts((14, 224, 224)),
    "mvit_v1_b": BackboneFacts((16, 224, 224), exact_clip=True),
    "mvit_v2_s": BackboneFacts((16, 224, 224), exact_clip=True),
    "swin3d_t": BackboneFacts((2, 32, 32)),
    "swin3d_s": BackboneFacts((2, 32, 32)),
    "swin3d_b": BackboneFacts((2, 32, 32)),
}
# Source: the hardware devices that FFmpeg knows (libavutil/hwcontext.c); a machine has few of them
HWACCELS = (
    *("amf", "cuda", "d3d11va", "d3d12va", "drm", "dxva2", "mediacodec", "opencl", "qsv"),
    *("vaapi", "vdpau", "videotoolbox", "vulkan"),
)


def broken_rules(params: Any) -> list[str]:
    """Return a line for each rule that `params` breaks.

    Args:
        params: a `Params`; where some fields are faulty, a namespace that lacks those. A rule that
            needs one of them is left out.
    """
    problems: list[str] = []
    for rule in _RULES:
        try:
            problems += rule(params)
        except AttributeError:  # a field that was faulty and has been named already
            continue
    return problems


def _shift_fits_margin(params: Params) -> Iterator[str]:
    extract = params.extract_frames
    if extract.window == "end" and params.temporal_aug > 2 * extract.margin_frames:
        yield (
            f"temporal_aug: {params.temporal_aug} needs more than the {extract.margin_frames} "
            "frames that extract_frames.margin_frames keeps on either side; raise that or lower "
            "this."
        )


def _clips_fit_window(params: Params) -> Iterator[str]:
    clips, num_frames = params.train.clips, params.extract_frames.num_frames
    if not clips.starts:
        yield "train.clips.starts: needs at least one clip start."
        return
    last = max(clips.starts) + (clips.num_frames - 1) * clips.stride
    if last >= num_frames:
        yield (
            f"train.clips: the last clip ends at frame {last}, but a sample has only "
            f"{num_frames} frames (extract_frames.num_frames), counted from 0."
        )


def _crop_fits_frame(params: Params) -> Iterator[str]:
    clips, extract = params.train.clips, params.extract_frames
    padded_px = clips.crop_px * (1 + 2 * clips.jitter_px / clips.size_px)
    if padded_px > min(extract.width, extract.height):
        yield (
            f"train.clips: crop_px {clips.crop_px} with jitter_px {clips.jitter_px} needs a square "
            f"of {padded_px:g} px, but frames have {extract.width}x{extract.height} "
            "(extract_frames); lower one of the two."
        )


def _backbone_is_known(params: Params) -> Iterator[str]:
    if params.backbone not in BACKBONES:
        hint = did_you_mean(params.backbone, BACKBONES)
        yield (
            f"backbone: {shown(params.backbone)} is not known{hint}; expected one of: "
            f"{', '.join(BACKBONES)}."
        )


def _clips_fit_backbone(params: Params) -> Iterator[str]:
    facts, clips = BACKBONES.get(params.backbone), params.train.clips
    if facts is None:
        return
    frames, side_px, _ = facts.min_clip
    word = "exactly" if facts.exact_clip else "at least"
    for key, value, least in (
        ("num_frames", clips.num_frames, frames),
        ("size_px", clips.size_px, side_px),
    ):
        if value < least or (facts.exact_clip and value != least):
            yield f"train.clips.{key}: {value}, but {params.backbone} takes {word} {least}."


def _pretrained_weights_exist(params: Params) -> Iterator[str]:
    facts = BACKBONES.get(params.backbone)
    if params.train.pretrained and facts is not None and not facts.is_torchvision:
        yield (
            f"train.pretrained: true fetches torchvision's weights, which {params.backbone} has "
            "none of; set it to false and train.backbone_weights to a file."
        )


def _released_checkpoint_fits(params: Params) -> Iterator[str]:
    is_released = params.backbone == "i3d" and params.model in ("dae", "dae_mt")
    if params.evaluate.checkpoint is not None and not is_released:
        yield (
            "evaluate.checkpoint: a released checkpoint holds the backbone i3d with the head of a "
            f"dae or a dae_mt, but backbone is {shown(params.backbone)} and model "
            f"{params.model!r}. Set both, as `dae-aqa recipe mtl_aqa_dae_mt` does, or set it to "
            "null to train."
        )


def _judges_have_a_rule(params: Params) -> Iterator[str]:
    section = getattr(params.datasets, params.dataset)
    if params.model == "dae_judges" and section.scoring_rule is None:
        yield (
            "model: 'dae_judges' combines judges by the sport's rule, but datasets."
            f"{params.dataset}.scoring_rule is null; name the rule, or choose the model dae_mt."
        )


def _memory_is_saved_one_way(params: Params) -> Iterator[str]:
    if params.train.compile and params.train.activation_checkpointing:
        yield (
            "train.compile: cannot go together with train.activation_checkpointing, since compiled "
            "code decides by itself what it keeps; set one of the two to false."
        )


def _experiment_name_is_short(params: Params) -> Iterator[str]:
    if len(params.train.experiment) > _MAX_EXPERIMENT_CHARACTERS:
        yield (
            f"train.experiment: {len(params.train.experiment)} characters; MLflow takes at most "
            f"{_MAX_EXPERIMENT_CHARACTERS}."
        )


def _random_split_tests_some(params: Params) -> Iterator[str]:
    splits = params.make_splits
    if splits.source == "random" and not 0 < splits.test_fraction < 1:
        yield (
            f"make_splits.test_fraction: {splits.test_fraction:g} leaves no sample to test or none "
            "to train, and make_splits.source is random; expected a number between 0 and 1."
        )


def _hwaccel_is_known(params: Params) -> Iterator[str]:
    hwaccel = params.extract_frames.hwaccel
    if hwaccel is not None and hwaccel not in HWACCELS:
        yield (
            f"extract_frames.hwaccel: {shown(hwaccel)} is no decoder device of ffmpeg"
            f"{did_you_mean(hwaccel, HWACCELS)}; expected null or one of: {', '.join(HWACCELS)}."
        )


def _simdive_can_be_rendered(params: Params) -> Iterator[str]:
    dives = params.datasets.simdive
    checks = {
        "dives_per_video": (
            dives.dives_per_video < dives.num_dives,
            f"at most num_dives - 1 ({dives.num_dives - 1}), so that there are two videos, one of "
            "them for the test split",
        ),
        "width": (
            dives.width % 2 == 0 and dives.width >= dives.height,
            f"an even number that is not below the height ({dives.height})",
        ),
        "height": (dives.height % 2 == 0, "an even number"),
        "max_gap_seconds": (
            dives.max_gap_seconds >= dives.min_gap_seconds,
            f"at least min_gap_seconds ({dives.min_gap_seconds:g})",
        ),
    }
    for name, (good, allowed) in checks.items():
        if not good:
            yield f"datasets.simdive.{name}: {getattr(dives, name)}; expected {allowed}."


def _scores_have_a_range(params: Params) -> Iterator[str]:
    csv = params.datasets.csv
    if csv.min_score >= csv.max_score:
        yield (
            f"datasets.csv.min_score: {csv.min_score:g} is not below datasets.csv.max_score "
            f"({csv.max_score:g})."
        )


def _addresses_are_http(params: Params) -> Iterator[str]:
    source = params.datasets.mtl_aqa.annotations_source
    if "://" in source and not source.startswith(("http://", "https://")):
        yield (
            f"datasets.mtl_aqa.annotations_source: {shown(source)}; expected a folder, a zip file "
            "or an address that begins with http:// or https://."
        )


_RULES: tuple[Callable[[Params], Iterator[str]], ...] = (
    _shift_fits_margin,
    _clips_fit_window,
    _crop_fits_frame,
    _backbone_is_known,
    _clips_fit_backbone,
    _pretrained_weights_exist,
    _released_checkpoint_fits,
    _judges_have_a_rule,
    _memory_is_saved_one_way,
    _experiment_name_is_short,
    _random_split_tests_some,
    _hwaccel_is_known,
    _simdive_can_be_rendered,
    _scores_have_a_range,
    _addresses_are_http,
)
