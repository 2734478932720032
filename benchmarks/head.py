"""Training a head alone on features of a fixed backbone: 100 epochs over MTL-AQA's 1,059 samples.

    python benchmarks/head.py [--epochs 100] [--batch 16] [--threads 1]

Random features of the size that I3D gives (ten clips of 1,024) stand for computed ones: the time
does not depend on their values. Loop, loss, validation and checkpoints are the pipeline's own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
import yaml

from _common import REPO_ROOT, markdown_table, write_result
from dae_aqa.inference.device import set_determinism
from dae_aqa.inference.feeds import FeatureFeed
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.build import build_model
from dae_aqa.models.targets import make_targets
from dae_aqa.options import parse_options
from dae_aqa.params import Params
from dae_aqa.training.fit_inputs import FedSamples, FitOptions
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.loop import fit

NUM_TRAIN, NUM_VAL, NUM_CLIPS, FEATURE_DIM = 900, 159, 10, 1024


def make_samples(count: int, seed: int) -> tuple[torch.Tensor, ScoredSamples]:
    """Return features (count, K, D) and samples whose score follows the first of them."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, NUM_CLIPS, FEATURE_DIM, generator=generator)
    ids = [f"{seed}-{row}" for row in range(count)]
    targets = make_targets(
        final_score=(60 + 10 * features.mean(dim=1)[:, 0]).tolist(),
        difficulty=[3.0] * count,
        judge_scores=None,
        scoring_rule=None,
        sample_ids=ids,
    )
    return features, ScoredSamples(ids, targets)


def main() -> None:
    """Train, write and print the seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    content = yaml.load((REPO_ROOT / "params.yaml").read_text(), Loader=yaml.SafeLoader)
    content |= {"num_epochs": args.epochs, "train_batch_size": args.batch, "lr": 1e-3}
    content |= {"weight_decay": 1e-2, "backbone": "i3d"}
    content["train"] |= {"finetune": "head"}
    params = parse_options(Params, content, source="params.yaml")
    torch.set_num_threads(args.threads)
    set_determinism(params.train.deterministic)
    torch.manual_seed(params.seed)
    model = build_model(
        model=params.model,
        backbone=params.backbone,
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=params.train.dropout,
    )
    model.set_finetune("head")
    # all 1,059 are trained on, as the bar has it; validation comes on top
    features, train = make_samples(NUM_TRAIN + NUM_VAL, 0)
    val_features, val = make_samples(NUM_VAL, 1)
    model.head.fit_to(train.targets, standardize=True)
    cpu = torch.device("cpu")
    started, cpu_started = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            options=FitOptions.of(params),
            choice=EpochChoice.of(params, num_val=len(val)),
            train=FedSamples(train, FeatureFeed(features, device=cpu)),
            val=FedSamples(val, FeatureFeed(val_features, device=cpu)),
            work_dir=Path(folder),
            on_epoch=lambda epoch, figures: None,
        )
    result = {
        "num_train": len(train),
        "num_epochs": args.epochs,
        "batch_size": args.batch,
        "num_threads": args.threads,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu_started,
    }
    path = write_result("head", result)
    print(markdown_table(list(result), [list(result.values())]))
    print(path)


if __name__ == "__main__":
    main()
