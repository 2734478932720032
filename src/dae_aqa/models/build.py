"""Models by name: fresh, from published weights, from a released checkpoint, or from a file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dae_aqa.errors import DaeAqaError, ModelError, ParamsError
from dae_aqa.models import checkpoints
from dae_aqa.models.backbones import build_backbone
from dae_aqa.models.backbones.i3d import I3D
from dae_aqa.models.heads.base import Head
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.neck import build_neck
from dae_aqa.models.options import (
    METHODS,
    Bins,
    Decoding,
    Exemplars,
    I3dLayout,
    ModelSpec,
    NeckName,
    released_methods,
)
from dae_aqa.options import parse_options
from dae_aqa.wording import first_few

_FORMATS = "dae_aqa.model/"
_FILE_FORMAT = f"{_FORMATS}1"  # the one that is written, and the only one so far


def build_model(
    *,
    model: str,
    backbone: str,
    backbone_weights: Path | None,
    pretrained: bool,
    scoring_rule: str | None,
    num_judges: int | None,
    dropout: float,
    neck: NeckName = "mean",
    average_mirrored: bool = False,
    decoding: Decoding = "mean",
    bins: Bins | None = None,
    exemplars: Exemplars | None = None,
) -> ScoreModel:
    """Return a model with fresh weights, or with its backbone's weights from a file or torchvision.

    Args:
        model: which method.
        backbone: which backbone.
        backbone_weights: published I3D weights in either layout, a released DAE checkpoint, or a
            model file of this project with the same backbone; None: fresh weights.
        pretrained: fetch the weights that torchvision publishes.
        scoring_rule: the dataset's rule, used by methods that learn from judges.
        num_judges: marks per sample, used by the same.
        dropout: probability with which the head drops inputs in training.
        neck: how the clips of a performance become one vector.
        average_mirrored: score the mean of a clip's features and of its mirror image's.
        decoding: what the answer is of a distribution that is no Gaussian.
        bins: used by methods that have them.
        exemplars: used by methods that compare.

    Raises:
        ModelError: unknown names, or weights that are missing, damaged or of another architecture.
        ScoringError: the rule does not take that many judges.
    """
    state: dict[str, Any] | None = None
    layout: I3dLayout | None = None
    if backbone_weights is not None:
        state, layout = _backbone_state(backbone_weights, backbone=backbone)
    content = {
        "model": model,
        "backbone": backbone,
        "i3d_layout": layout or "inception" if backbone == "i3d" else None,
        "scoring_rule": scoring_rule,
        "num_judges": num_judges,
        "dropout": dropout,
        "neck": neck,
        "average_mirrored": average_mirrored,
        "decoding": decoding,
        "bins": bins,
        "exemplars": exemplars,
    }
    try:
        spec = parse_options(ModelSpec, content, source="the model")
    except ParamsError as error:
        raise ModelError(str(error)) from error
    if not METHODS[spec.model].needs_judges:
        spec = spec.replaced(scoring_rule=None, num_judges=None)
    built = _from_spec(spec, pretrained=pretrained)
    if state is not None:
        checkpoints.load_state(built.backbone, state, source=str(backbone_weights))
    return built


def load_i3d(path: Path) -> I3D:
    """Return the I3D of published weights, in evaluation mode; the layout follows from the keys.

    Raises:
        ModelError: the file is missing, damaged or holds something else.
    """
    state, layout = _backbone_state(path, backbone="i3d")
    assert layout is not None  # every I3D has one
    net = I3D(layout=layout)
    checkpoints.load_state(net, state, source=str(path))
    return net.eval()


def load_released_checkpoint(path: Path, *, model: str) -> ScoreModel:
    """Return the model of a checkpoint as the released DAE code saves it, in evaluation mode.

    Args:
        path: a dictionary with `i3d` and `dae` (and `epoch`, `optimizer`, `rho_best`).
        model: the method, which the file does not tell: whether its head predicts the final score
            or the execution score.

    Raises:
        ModelError: the file is missing, damaged, or not such a checkpoint.
    """
    if model not in released_methods():
        names = " or a ".join(map(repr, released_methods()))
        raise ModelError(f"a released checkpoint is a {names}, not a {model!r}.")
    content = checkpoints.read_weights(path)
    if not all(isinstance(content.get(part), dict) for part in ("i3d", "dae")):
        raise ModelError(
            f"{path}: not a released DAE checkpoint; expected a dictionary with i3d, dae, epoch, "
            f"optimizer and rho_best, got the keys {first_few(sorted(content), limit=8)}."
        )
    layout, backbone = checkpoints.i3d_state(content["i3d"], source=f"{path} (i3d)")
    spec = ModelSpec(
        model=model,
        backbone="i3d",
        i3d_layout=layout,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )
    built = _from_spec(spec)
    checkpoints.load_state(built.backbone, backbone, source=f"{path} (i3d)")
    head = checkpoints.serial_keys(content["dae"])
    checkpoints.load_state(built.head.net, head, source=f"{path} (dae)")
    return built.eval()


def save_model(model: ScoreModel, path: Path, *, usage: Mapping[str, Any]) -> None:
    """Write the model to `path`, whole or not at all: what it is, its weights and its scales.

    Args:
        model: the model.
        path: the file.
        usage: how the model is to be used (numbers, texts, lists and mappings of them), e.g. how
            its clips are made; `load_model` gives it back.
    """
    state = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    content = {
        "format": _FILE_FORMAT,
        "spec": model.spec.model_dump(mode="json"),
        "state": state,
        "usage": dict(usage),
    }
    checkpoints.write_weights(content, path)


def is_model_file(path: Path) -> bool:
    """Return whether `save_model` wrote the file, and not somebody else's training.

    Raises:
        ModelError: the file is missing or damaged, or a model file of a format that is not known.
    """
    return _is_model_file(checkpoints.read_weights(path), path)


def load_model(path: Path) -> tuple[ScoreModel, dict[str, Any]]:
    """Return the model of a file that `save_model` wrote, in evaluation mode, and its usage.

    Raises:
        ModelError: the file is missing, damaged or of another kind.
    """
    content = checkpoints.read_weights(path)
    if not _is_model_file(content, path):
        raise ModelError(
            f"{path}: not a model file of this project (format {_FILE_FORMAT}); it has the keys "
            f"{first_few(sorted(content), limit=8)}. Released checkpoints go to "
            "evaluate.checkpoint."
        )
    checkpoints.check_intact(path)
    spec, state, usage = _spec_of(content, path), _state_of(content, path), content.get("usage")
    if not isinstance(usage, dict):
        raise ModelError(f"{path}: it does not say how it is used; train it again.")
    try:
        built = _from_spec(spec)
    except DaeAqaError as error:
        raise ModelError(f"{path}: {error}") from error
    checkpoints.load_state(built, state, source=str(path))
    return built.eval(), usage


def _from_spec(spec: ModelSpec, *, pretrained: bool = False) -> ScoreModel:
    backbone = build_backbone(spec, pretrained=pretrained)
    # A method is imported by its name, since the table of methods stands where the check of
    # params.yaml reads it without torch. A spec holds no name that is not in that table.
    method = importlib.import_module(f"dae_aqa.models.heads.{spec.model}")
    neck = build_neck(spec.neck, backbone.feature_dim)
    head: Head = method.build_head(neck.out_dim, spec)
    return ScoreModel(backbone=backbone, neck=neck, head=head, spec=spec)


def _is_model_file(content: Mapping[str, Any], path: Path) -> bool:
    """Return whether `content` is that of a model file.

    Raises:
        ModelError: it is, but of a format that this version does not know.
    """
    written = content.get("format")
    if not isinstance(written, str) or not written.startswith(_FORMATS):
        return False
    if written != _FILE_FORMAT:
        raise ModelError(
            f"{path}: a model file of format {written[:40]!r}; this version of dae-aqa reads "
            f"{_FILE_FORMAT!r}. A later version wrote it: update this one (git pull), or train the "
            "model again."
        )
    return True


def _spec_of(content: Mapping[str, Any], path: Path) -> ModelSpec:
    """Return the file's description of the model, checked: it may have been edited."""
    try:
        return parse_options(ModelSpec, content.get("spec"), source="spec")
    except ParamsError as error:
        raise ModelError(
            f"{path}: its model description is damaged; train it again. {error}"
        ) from error


def _state_of(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the file's tensors by name; what they are is checked when they are loaded."""
    state = content.get("state")
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ModelError(f"{path}: its weights are missing; train it again.")
    return state


def _backbone_state(path: Path, *, backbone: str) -> tuple[dict[str, Tensor], I3dLayout | None]:
    """Return the backbone's state dict in the file and, for an I3D, its layout."""
    content = checkpoints.read_weights(path)
    if _is_model_file(content, path):
        checkpoints.check_intact(path)
        spec = _spec_of(content, path)
        if spec.backbone != backbone:
            raise ModelError(
                f"{path}: holds the backbone {spec.backbone!r} where {backbone!r} is asked for."
            )
        prefix = "backbone."
        state = {
            key.removeprefix(prefix): value
            for key, value in _state_of(content, path).items()
            if key.startswith(prefix)
        }
        return state, spec.i3d_layout
    if backbone == "i3d":
        released = content.get("i3d")
        published = released if isinstance(released, dict) else content
        layout, state = checkpoints.i3d_state(published, source=str(path))
        return state, layout
    return content, None
