"""Models: backbones, heads, losses and the files that hold their weights."""

from dae_aqa.models.backbones import BACKBONES, HALF, IMAGENET, KINETICS, Backbone, Normalization
from dae_aqa.models.build import (
    HEADS,
    build_model,
    is_model_file,
    load_i3d,
    load_model,
    load_released_checkpoint,
    save_model,
)
from dae_aqa.models.features import clip_features
from dae_aqa.models.heads import Head, HeadOutput
from dae_aqa.models.inference import for_inference
from dae_aqa.models.losses import LOSSES, LossOptions
from dae_aqa.models.model import ModelSpec, ScoreModel
from dae_aqa.models.recompute import recompute_activations
from dae_aqa.models.targets import ScorePrediction, Targets, check_features, make_targets

__all__ = [
    "BACKBONES",
    "HALF",
    "HEADS",
    "IMAGENET",
    "KINETICS",
    "LOSSES",
    "Backbone",
    "Head",
    "HeadOutput",
    "LossOptions",
    "ModelSpec",
    "Normalization",
    "ScoreModel",
    "ScorePrediction",
    "Targets",
    "build_model",
    "check_features",
    "clip_features",
    "for_inference",
    "is_model_file",
    "load_i3d",
    "load_model",
    "load_released_checkpoint",
    "make_targets",
    "recompute_activations",
    "save_model",
]
