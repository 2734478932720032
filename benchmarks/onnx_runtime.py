"""Whether exporting to ONNX would pay: ONNX Runtime beside torch on a CPU, in turn, same numbers.

    uv pip install onnx onnxscript onnxruntime      # for this benchmark alone
    python benchmarks/onnx_runtime.py [--threads 1] [--repeats 15]

Exports the shipped small 3-D CNN (one clip of 64 frames, both mirror images) and an I3D (one clip
of 16 frames at 224 px), with fresh weights, as `dae-aqa export` does. Compares the least seconds of
a call: of the model as it scores, of the same graph in torch, and in ONNX Runtime. Does nothing
where ONNX Runtime is not installed. Writes benchmarks/results/onnx_runtime.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from _common import markdown_table, write_result
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.inference.trained_model import TrainedModel, Usage
from dae_aqa.models.build import build_model
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.normalization import HALF
from dae_aqa.scorer.export import INPUT, Network, export

CASES = {
    "small3d, attention, mirrored": ("small3d", "attention", True, (1, 1, 3, 64, 48, 48)),
    "i3d": ("i3d", "mean", False, (1, 1, 3, 16, 224, 224)),
}


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    if importlib.util.find_spec("onnxruntime") is None:
        print("left out: ONNX Runtime is not installed")
        return
    torch.set_num_threads(args.threads)
    rows = []
    for name, (backbone, neck, mirrored, shape) in CASES.items():
        torch.manual_seed(0)
        model = build_model(
            model="dae_mt",
            backbone=backbone,
            backbone_weights=None,
            pretrained=False,
            scoring_rule=None,
            num_judges=None,
            dropout=0.0,
            neck=neck,
            average_mirrored=mirrored,
        )
        rows.append({"model": name} | compare(model.eval(), shape, args.threads, args.repeats))
    write_result("onnx_runtime", {"threads": args.threads, "rows": rows})
    print(markdown_table(list(rows[0]), [list(row.values()) for row in rows]))


@torch.no_grad()
def compare(
    model: ScoreModel, shape: tuple[int, ...], threads: int, repeats: int
) -> dict[str, float]:
    """Return the least seconds of a call, and the ratio of ONNX Runtime's to the model's own."""
    import onnxruntime

    clips = torch.randn(shape)
    starts = tuple(range(shape[1]))
    layout = ClipLayout(
        starts=starts,
        num_frames=shape[3],
        stride=1,
        crop_px=shape[4],
        size_px=shape[4],
        jitter_px=0,
    )
    trained = TrainedModel(model, Usage(layout=layout, normalization=HALF))
    graph = Network(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        difference = export(trained, path, to="onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    calls: dict[str, Callable[[], object]] = {
        "model_seconds": lambda: model(clips),
        "graph_in_torch_seconds": lambda: graph(clips),
        "onnx_seconds": lambda: session.run(None, {INPUT: clips.numpy()}),
    }
    seconds: dict[str, float] = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):  # in turn, since the machine is shared
        for key, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[key] = min(seconds[key], time.perf_counter() - started)
    return seconds | {
        "onnx_over_model": seconds["onnx_seconds"] / seconds["model_seconds"],
        "onnx_over_graph": seconds["onnx_seconds"] / seconds["graph_in_torch_seconds"],
        "difference": difference,
    }


if __name__ == "__main__":
    main()
