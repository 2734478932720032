"""Which feed samples get: their clips from packed frames, or features of a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dae_aqa.clips.augmentation import Augmenter
from dae_aqa.inference.features import cached_features
from dae_aqa.inference.feeds import FeatureFeed, Feed
from dae_aqa.inference.options import Precision
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.inference.trained_model import TrainedModel


@dataclass(frozen=True)
class Inputs:
    """Where the inputs of a model come from, and how they are loaded.

    Attributes:
        frames_dir: folder of packed samples.
        features_dir: cache of clip features.
        from_features: the backbone is not trained, so its features are computed once.
        batch_size: samples per forward pass of the backbone alone.
        precision: of that forward pass.
        num_workers: loader processes.
        cache: keep the scaled frames in memory; the loader then needs no processes.
    """

    frames_dir: Path
    features_dir: Path
    from_features: bool
    batch_size: int
    precision: Precision
    num_workers: int
    cache: bool

    def feed(
        self, trained: TrainedModel, samples: ScoredSamples, *, augmenter: Augmenter | None = None
    ) -> Feed:
        """Return the samples' clips, augmented where asked for, or their features.

        Args:
            trained: the model, on its device.
            samples: the samples.
            augmenter: draws the augmentations; features are those of clips without.

        Raises:
            FrameStoreError: a packed sample is missing, damaged, or too short.
            ModelError: features are not finite; the samples are named.
        """
        if self.from_features:
            features = cached_features(
                trained,
                samples,
                frames_dir=self.frames_dir,
                features_dir=self.features_dir,
                batch_size=self.batch_size,
                num_workers=self.num_workers,
                precision=self.precision,
            )
            return FeatureFeed(
                features, device=trained.device, averaged=trained.model.spec.neck == "mean"
            )
        return trained.feed(
            samples.sample_ids,
            frames_dir=self.frames_dir,
            num_workers=0 if self.cache else self.num_workers,
            cache=self.cache,
            augmenter=augmenter,
        )
