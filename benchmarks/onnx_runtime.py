"""Whether exporting to ONNX would pay: ONNX Runtime beside torch on a CPU, in turn, same numbers.

    uv pip install onnx onnxscript onnxruntime      # for this benchmark alone
    python benchmarks/onnx_runtime.py [--threads 1] [--repeats 15]

Exports backbone and neck of the shipped small 3-D CNN (one clip of 64 frames, both mirror
images) and of an I3D (one clip of 16 frames at 224 px), with fresh weights, and compares the least
seconds of a call. Writes benchmarks/results/onnx_runtime.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from _common import markdown_table, write_result
from dae_aqa.models.build import build_model
from dae_aqa.models.inference import for_inference
from dae_aqa.models.model import ScoreModel

CASES = {
    "small3d, attention, mirrored": ("small3d", "attention", True, (1, 1, 3, 64, 48, 48)),
    "i3d": ("i3d", "mean", False, (1, 1, 3, 16, 224, 224)),
}


class _Vectors(nn.Module):
    def __init__(self, model: ScoreModel) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, clips: Tensor) -> Tensor:
        """Return what the head gets (N, D)."""
        return self.model.vectors(clips)


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
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
    """Return the seconds of a call, and how far the vectors differ, relative to their largest."""
    clips = torch.randn(shape)
    plain, folded = _Vectors(model), _Vectors(for_inference(model))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(folded, (clips,), path, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        feed = {name: clips.numpy()}
        calls: dict[str, Callable[[], np.ndarray]] = {
            "torch_seconds": lambda: plain(clips).numpy(),
            "torch_folded_seconds": lambda: folded(clips).numpy(),
            "onnx_seconds": lambda: session.run(None, feed)[0],
        }
        answers = {key: call() for key, call in calls.items()}
        seconds: dict[str, float] = dict.fromkeys(calls, float("inf"))
        for _ in range(repeats):  # in turn, since the machine is shared
            for key, call in calls.items():
                started = time.perf_counter()
                call()
                seconds[key] = min(seconds[key], time.perf_counter() - started)
    apart = np.abs(answers["onnx_seconds"] - answers["torch_seconds"]).max()
    apart /= np.abs(answers["torch_seconds"]).max()
    return seconds | {
        "onnx_over_torch": seconds["onnx_seconds"] / seconds["torch_seconds"],
        "greatest_difference": float(apart),
    }


if __name__ == "__main__":
    main()
