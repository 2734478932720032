"""How long the backbones take on a CPU for a clip of 16 frames at 224 px; ten make a performance.

    python benchmarks/backbones.py [--repeats 3]

Fresh weights, which take as long as published ones; float32, no gradients, clips one after the
other as `finetune: head` computes features; all threads. The ratio to `i3d` is taken within each
round, since the machine is shared.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from _common import markdown_table, write_result
from dae_aqa.models.build import build_model

BACKBONES = ("i3d", "r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v2_s", "swin3d_t")
NUM_CLIPS = 2  # timed in each round, after one that is not


def seconds(net: torch.nn.Module) -> float:
    """Return the seconds for one clip."""
    clip = torch.zeros(1, 3, 16, 224, 224)
    with torch.no_grad():
        net(clip)
        begin = time.perf_counter()
        for _ in range(NUM_CLIPS):
            net(clip)
    return (time.perf_counter() - begin) / NUM_CLIPS


def main() -> None:
    """Measure and write `results/backbones.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    nets = {
        name: build_model(
            model="dae",
            backbone=name,
            backbone_weights=None,
            pretrained=False,
            scoring_rule=None,
            num_judges=None,
            dropout=0.0,
        ).backbone.eval()
        for name in BACKBONES
    }
    rounds = [{name: seconds(net) for name, net in nets.items()} for _ in range(arguments.repeats)]
    rows = {
        name: {
            "seconds": statistics.median(each[name] for each in rounds),
            "ratio_to_i3d": statistics.median(each[name] / each["i3d"] for each in rounds),
        }
        for name in BACKBONES
    }
    write_result("backbones", {"num_threads": torch.get_num_threads(), "per_clip": rows})
    print(
        markdown_table(
            ["backbone", "seconds a clip", "ratio to i3d"],
            [[name, row["seconds"], row["ratio_to_i3d"]] for name, row in rows.items()],
        )
    )


if __name__ == "__main__":
    main()
