"""Exported networks give the model's numbers, for any number of performances."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.scored_windows import small_trained_model
from tests.tiny_training import MakeOptions, TinyData

from dae_aqa.errors import ModelError
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.scorer import export as exporting
from dae_aqa.scorer.export import export


def assert_same(trained: TrainedModel, path: Path) -> None:
    """Three performances, where two were exported, give what the model itself gives."""
    layout = trained.layout
    shape = (3, len(layout.starts), 3, layout.num_frames, layout.size_px, layout.size_px)
    clips = torch.randn(shape)
    with torch.no_grad():
        own = trained.model(clips)
        written = torch.export.load(path).module()(clips)
    torch.testing.assert_close(written[0], own.values, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(written[1], own.log_variance, rtol=1e-3, atol=1e-4)


def test_a_torch_program_gives_the_models_numbers(tmp_path: Path) -> None:
    trained = small_trained_model()
    assert export(trained, tmp_path / "model.pt2", to="torch") < 1e-4
    assert_same(trained, tmp_path / "model.pt2")


def test_mirrored_clips_and_attention_are_exported_too(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    changes = {"num_epochs": 1, "train.neck": "attention", "train.average_mirrored": True}
    trained, _ = tiny_data.train(small_options(changes), tmp_path)
    export(trained, tmp_path / "model.pt2", to="torch")
    assert_same(trained, tmp_path / "model.pt2")


def test_onnx_gives_the_models_numbers(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra dae-aqa[onnx] is not installed")
    assert export(small_trained_model(), tmp_path / "model.onnx", to="onnx") < 1e-3
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_network_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = exporting._run
    monkeypatch.setattr(
        exporting, "_run", lambda *args, **options: [1.1 * x for x in run(*args, **options)]
    )
    with pytest.raises(ModelError, match=r"differs by 0\.1 of the largest output"):
        export(small_trained_model(), tmp_path / "model.pt2", to="torch")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_compares_is_refused(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    trained, _ = tiny_data.train(small_options({"num_epochs": 1, "model": "core"}), tmp_path)
    with pytest.raises(ModelError, match="core compares with its exemplars"):
        export(trained, tmp_path / "model.pt2", to="torch")
