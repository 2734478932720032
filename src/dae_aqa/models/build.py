"""Models by name: fresh, from published weights, from a released checkpoint, or from a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dae_aqa import scoring
from dae_aqa.errors import DaeAqaError, ModelError
from dae_aqa.models import checkpoints
from dae_aqa.models.backbones import I3D, build_backbone
from dae_aqa.models.heads import ExecutionHead, FinalScoreHead, GaussianMlp, Head
from dae_aqa.models.judges import JudgesHead
from dae_aqa.models.model import ModelSpec, ScoreModel

_FORMATS = "dae_aqa.model/"
_FILE_FORMAT = f"{_FORMATS}1"  # the one that is written, and the only one so far
_MAX_JUDGES = 100


def _mlp(feature_dim: int, spec: ModelSpec) -> Head:
    net = GaussianMlp(feature_dim, num_means=1, num_variances=0, dropout=spec.dropout)
    return FinalScoreHead(net)


def _dae(feature_dim: int, spec: ModelSpec) -> Head:
    net = GaussianMlp(feature_dim, num_means=1, num_variances=1, dropout=spec.dropout)
    return FinalScoreHead(net)


def _dae_mt(feature_dim: int, spec: ModelSpec) -> Head:
    net = GaussianMlp(feature_dim, num_means=1, num_variances=1, dropout=spec.dropout)
    return ExecutionHead(net)


def _dae_judges(feature_dim: int, spec: ModelSpec) -> Head:
    if spec.scoring_rule is None or spec.num_judges is None:
        raise ModelError(
            "model dae_judges needs judge scores and the dataset's scoring_rule, got "
            f"scoring_rule {spec.scoring_rule!r} and {spec.num_judges} judges. "
            "Set datasets.<name>.scoring_rule, or choose the model dae_mt."
        )
    judges = spec.num_judges
    rule = scoring.scoring_rule(spec.scoring_rule, num_judges=judges)
    net = GaussianMlp(feature_dim, num_means=judges, num_variances=judges + 1, dropout=spec.dropout)
    return JudgesHead(net, rule=rule, num_judges=judges)


HEADS: dict[str, Callable[[int, ModelSpec], Head]] = {
    "mlp": _mlp,
    "dae": _dae,
    "dae_mt": _dae_mt,
    "dae_judges": _dae_judges,
}


def build_model(
    *,
    model: str,
    backbone: str,
    backbone_weights: Path | None,
    pretrained: bool,
    scoring_rule: str | None,
    num_judges: int | None,
    dropout: float,
) -> ScoreModel:
    """Return a model with fresh weights, or with its backbone's weights from a file or torchvision.

    Args:
        model: a key of `HEADS`.
        backbone: a key of `BACKBONES` or the name of a torchvision video model.
        backbone_weights: published I3D weights in either layout, a released DAE checkpoint, or a
            model file of this project with the same backbone; None: fresh weights.
        pretrained: fetch the weights that torchvision publishes.
        scoring_rule: the dataset's rule, used by `dae_judges`.
        num_judges: marks per sample, used by `dae_judges`.
        dropout: probability with which the head drops inputs in training.

    Raises:
        ModelError: unknown names, or weights that are missing, damaged or of another architecture.
        ScoringError: the rule does not take that many judges.
    """
    state, layout = None, None
    if backbone_weights is not None:
        state, layout = _backbone_state(backbone_weights, backbone=backbone)
    judges = model == "dae_judges"
    spec = ModelSpec(
        model=model,
        backbone=backbone,
        i3d_layout=(layout or "inception") if backbone == "i3d" else None,
        scoring_rule=scoring_rule if judges else None,
        num_judges=num_judges if judges else None,
        dropout=dropout,
    )
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
    net = I3D(layout=layout or "inception")
    checkpoints.load_state(net, state, source=str(path))
    return net.eval()


def load_released_checkpoint(path: Path, *, model: str) -> ScoreModel:
    """Return the model of a checkpoint as the released DAE code saves it, in evaluation mode.

    Args:
        path: a dictionary with `i3d` and `dae` (and `epoch`, `optimizer`, `rho_best`).
        model: what its head predicts, which the file does not tell: `dae` the final score, `dae_mt`
            the execution score.

    Raises:
        ModelError: the file is missing, damaged, or not such a checkpoint.
    """
    if model not in ("dae", "dae_mt"):
        raise ModelError(f"a released checkpoint is a 'dae' or a 'dae_mt', not a {model!r}.")
    content = checkpoints.read_weights(path)
    if not all(isinstance(content.get(part), dict) for part in ("i3d", "dae")):
        raise ModelError(
            f"{path}: not a released DAE checkpoint; expected a dictionary with i3d, dae, epoch, "
            f"optimizer and rho_best, got the keys {', '.join(sorted(content)[:8])}."
        )
    layout, backbone = checkpoints.i3d_state(content["i3d"], source=f"{path} (i3d)")
    spec = ModelSpec(model, "i3d", layout, scoring_rule=None, num_judges=None, dropout=0.0)
    built = _from_spec(spec, pretrained=False)
    head = {str(key).removeprefix("module."): value for key, value in content["dae"].items()}
    checkpoints.load_state(built.backbone, backbone, source=f"{path} (i3d)")
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
        "spec": dataclasses.asdict(model.spec),
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
            f"{', '.join(sorted(content)[:8])}. Released checkpoints go to evaluate.checkpoint."
        )
    checkpoints.check_intact(path)
    spec, state, usage = _spec_of(content, path), _state_of(content, path), content.get("usage")
    if not isinstance(usage, dict):
        raise ModelError(f"{path}: it does not say how it is used; train it again.")
    try:
        built = _from_spec(spec, pretrained=False)
    except DaeAqaError as error:
        raise ModelError(f"{path}: {error}") from error
    checkpoints.load_state(built, state, source=str(path))
    return built.eval(), usage


def _from_spec(spec: ModelSpec, *, pretrained: bool) -> ScoreModel:
    if spec.model not in HEADS:
        raise ModelError(f"unknown model {spec.model!r}; allowed: {', '.join(HEADS)}.")
    backbone = build_backbone(spec.backbone, i3d_layout=spec.i3d_layout, pretrained=pretrained)
    head = HEADS[spec.model](backbone.feature_dim, spec)
    return ScoreModel(backbone=backbone, head=head, spec=spec)


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
        spec = ModelSpec(**content["spec"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: its model description is damaged ({error}).") from error
    names = (spec.model, spec.backbone)
    optional = [name for name in (spec.i3d_layout, spec.scoring_rule) if name is not None]
    judges, dropout = spec.num_judges, spec.dropout
    if (
        not all(isinstance(name, str) for name in (*names, *optional))
        or not (judges is None or (type(judges) is int and 1 <= judges <= _MAX_JUDGES))
        or not (type(dropout) in (int, float) and 0 <= dropout < 1)
    ):
        raise ModelError(
            f"{path}: its model description is damaged; expected names of model, backbone, "
            f"i3d_layout and scoring_rule, 1 to {_MAX_JUDGES} judges or none and a dropout of 0 to "
            f"1, got {str(spec)[:300]}. Train it again."
        )
    return spec


def _state_of(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the file's tensors by name; what they are is checked when they are loaded."""
    state = content.get("state")
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ModelError(f"{path}: its weights are missing; train it again.")
    return state


def _backbone_state(path: Path, *, backbone: str) -> tuple[dict[str, Tensor], str | None]:
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
