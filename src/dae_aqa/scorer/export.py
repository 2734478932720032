"""A trained network as one graph for other runtimes: `torch.export`, or ONNX.

The graph goes from normalised clips to the raw output of the head (`models.heads.base.HeadOutput`).
What lies before and after it, frames, clips and the rule of the sport, is not in it.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from dae_aqa.errors import ModelError
from dae_aqa.files.whole import written_whole
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.inference import for_inference
from dae_aqa.models.model import ScoreModel

Format = Literal["torch", "onnx"]
INPUT = "clips"
_NUM_EXAMPLES = 2  # of one, the number of performances would become a constant of the graph
_MOST_DIFFERENCE = 1e-3  # of outputs, relative to their largest
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


class Network(nn.Module):
    """Backbone, neck and head of a trained model, with batch norms folded.

    Args:
        model: the model; it is copied.
    """

    def __init__(self, model: ScoreModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(for_inference(model)).cpu()
        # Elsewhere a clip's bits do not depend on its batch, for which some clips go through twice.
        # In a graph that would be arithmetic for nothing.
        setattr(self.model.backbone, "forward", _plain_forward(self.model))  # noqa: B010
        self.eval()

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Return values, and log-variances where the head has some, of clips (N, K, 3, T, S, S)."""
        output = self.model(clips)
        return tuple(part for part in output if part is not None)


def export(trained: TrainedModel, path: Path, *, to: Format) -> float:
    """Write the network to `path`; return how far its output is from the model's own, relatively.

    Args:
        trained: the model.
        path: the file, .pt2 or .onnx.
        to: `torch` for `torch.export`, `onnx` for ONNX.

    Raises:
        ModelError: the model compares with exemplars, a package is missing, or the written file
            gives other numbers; then nothing is written.
    """
    if isinstance(trained.model.head, ExemplarHead):
        raise ModelError(
            f"{trained.model.spec.model} compares with its exemplars, which a graph from clips to "
            "numbers does not hold. Use `dae-aqa serve` or the MLflow model."
        )
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if to == "onnx" and lacking:
        raise ModelError(f"ONNX needs {', '.join(lacking)}: install the extra dae-aqa[onnx].")
    network, clips = Network(trained.model), _example(trained)
    with torch.no_grad(), written_whole(path) as part:
        _write(network, clips, part, to=to)
        difference = _difference(network(clips), _run(part, clips, to=to))
        if not difference <= _MOST_DIFFERENCE:
            raise ModelError(
                f"{path}: the exported network differs by {difference:.2g} of the largest output, "
                f"at most {_MOST_DIFFERENCE:g} is right; nothing is written."
            )
    return difference


def _example(trained: TrainedModel) -> Tensor:
    """Return noise in the shape of clips (2, K, 3, T, S, S)."""
    layout = trained.layout
    shape = (_NUM_EXAMPLES, len(layout.starts), 3, layout.num_frames, *[layout.size_px] * 2)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _write(network: Network, clips: Tensor, path: Path, *, to: Format) -> None:
    shapes = {INPUT: {0: torch.export.Dim("performances")}}
    if to == "onnx":
        torch.onnx.export(
            network,
            (clips,),
            path,
            dynamo=True,
            input_names=[INPUT],
            output_names=["values", "log_variance"][: len(network(clips))],
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    else:
        with path.open("wb") as file:
            torch.export.save(torch.export.export(network, (clips,), dynamic_shapes=shapes), file)


def _run(path: Path, clips: Tensor, *, to: Format) -> list[Tensor]:
    """Return the outputs of a written network."""
    if to == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
        return [torch.from_numpy(out) for out in session.run(None, {INPUT: clips.numpy()})]
    with path.open("rb") as file:
        return list(torch.export.load(file).module()(clips))


def _difference(own: tuple[Tensor, ...], other: list[Tensor]) -> float:
    """Return the greatest difference of two networks' outputs, relative to the largest output."""
    if [part.shape for part in own] != [part.shape for part in other]:
        return float("inf")

    def each() -> Iterator[float]:
        for one, two in zip(own, other, strict=True):
            yield float((one - two).abs().max() / one.abs().max().clamp_min(1e-6))

    return max(each())


def _plain_forward(model: ScoreModel) -> Callable[..., Tensor]:
    """Return the backbone's forward pass without what keeps bits the same in every batch."""
    backbone = model.backbone

    def forward(clips: Tensor, *, steps: bool = False) -> Tensor:
        return backbone.encode_steps(clips) if steps else backbone.encode(clips)

    return forward
