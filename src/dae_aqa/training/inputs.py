"""What a model is fed with where nothing is augmented: validation, evaluation, a head alone."""

from __future__ import annotations

from pathlib import Path

from dae_aqa.params import Params
from dae_aqa.trained_model import TrainedModel
from dae_aqa.training.features import cached_features
from dae_aqa.training.feeds import FeatureFeed, Feed
from dae_aqa.training.samples import ScoredSamples


def plain_feed(
    trained: TrainedModel,
    samples: ScoredSamples,
    *,
    params: Params,
    frames_dir: Path,
    features_dir: Path,
) -> Feed:
    """Return the samples' clips, or their features where only a head is trained.

    Args:
        trained: the model, on its device.
        samples: the samples.
        params: the whole parameters.
        frames_dir: folder of packed samples.
        features_dir: cache of clip features.

    Raises:
        FrameStoreError: a packed sample is missing, damaged, or too short.
        ModelError: features are not finite; the samples are named.
    """
    if params.train.finetune == "head":
        features = cached_features(
            trained,
            samples,
            frames_dir=frames_dir,
            features_dir=features_dir,
            batch_size=params.test_batch_size,
            num_workers=params.num_workers,
            precision=params.train.precision,
        )
        return FeatureFeed(features, device=trained.device)
    cache = params.train.clips.cache
    return trained.feed(
        samples.sample_ids,
        frames_dir=frames_dir,
        num_workers=0 if cache else params.num_workers,
        cache=cache,
    )
