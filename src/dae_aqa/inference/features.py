"""Clip features computed once, for training a head on a frozen backbone.

Every experiment shares them as long as nothing that they depend on changes: the backbone's weights,
the clips' layout and normalisation, and the samples' frames.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from pathlib import Path

import torch
from torch import Tensor

from dae_aqa.files.whole import written_whole
from dae_aqa.inference.options import Precision
from dae_aqa.inference.predict import autocast, chunks
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.inference import for_inference
from dae_aqa.models.targets import check_features
from dae_aqa.packs.digest import frames_digest
from dae_aqa.running.progress import Progress

logger = logging.getLogger(__name__)


def cached_features(
    trained: TrainedModel,
    samples: ScoredSamples,
    *,
    frames_dir: Path,
    features_dir: Path,
    batch_size: int,
    num_workers: int,
    precision: Precision,
) -> Tensor:
    """Return the samples' clip features, float32 (N, K, D), from the cache where they are known.

    Args:
        trained: the model whose backbone computes them; its head is not used.
        samples: N samples.
        frames_dir: folder of packed samples.
        features_dir: the cache; one file per key.
        batch_size: samples per forward pass.
        num_workers: loader processes.
        precision: of the forward pass.

    Raises:
        ModelError: features are not finite; the samples are named.
    """
    key = _key(trained, samples, frames_dir=frames_dir, precision=precision)
    path = features_dir / f"{key}.pt"
    if path.exists():
        try:
            known: Tensor = torch.load(path, weights_only=True)
            return known
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            logger.warning("%s is damaged (%s) and is computed anew", path, error)
    features = _compute(
        trained,
        samples,
        frames_dir=frames_dir,
        batch_size=batch_size,
        num_workers=num_workers,
        precision=precision,
    )
    check_features(features, sample_ids=samples.sample_ids)
    with written_whole(path) as part, part.open("wb") as file:
        torch.save(features, file)
    return features


@torch.no_grad()
def _compute(
    trained: TrainedModel,
    samples: ScoredSamples,
    *,
    frames_dir: Path,
    batch_size: int,
    num_workers: int,
    precision: Precision,
) -> Tensor:
    model = for_inference(trained.model)
    feed = trained.feed(
        samples.sample_ids, frames_dir=frames_dir, num_workers=num_workers, cache=False
    )
    parts = []
    with Progress("features", total=len(samples), unit="sample") as bar:
        for indices, clips in feed.batches(chunks(range(len(samples)), batch_size), epoch=0):
            with autocast(trained.device, precision):
                parts.append(model.features(clips).float().cpu())
            bar.advance(len(indices))
    return torch.cat(parts)


def _key(
    trained: TrainedModel, samples: ScoredSamples, *, frames_dir: Path, precision: Precision
) -> str:
    steps = "steps" if trained.model.neck.needs_steps else ""
    mirrored = "mirrored" if trained.model.spec.average_mirrored else ""
    digest = hashlib.sha256(
        f"{trained.layout}{trained.normalization}{precision}{steps}{mirrored}".encode()
    )
    buffer = io.BytesIO()
    torch.save({k: v.cpu() for k, v in trained.model.backbone.state_dict().items()}, buffer)
    digest.update(buffer.getbuffer())
    digest.update(frames_digest(frames_dir, samples.sample_ids).encode())
    return digest.hexdigest()[:32]
