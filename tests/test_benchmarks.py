"""Benchmarks run: the one of training, on tiny clips."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_training_benchmark(repo_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/training.py", "--quick", "--results", str(tmp_path)]
    options = ["--samples", "2", "--repeats", "1", "--epochs", "2", "--device", "cpu"]
    run = subprocess.run(
        command + options,
        cwd=repo_root,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "| training step | released way |" in run.stdout
    result = json.loads((tmp_path / "training.json").read_text())
    assert result["training_step"]["released way"]["times_faster"] == 1.0
    for work in ("training_step", "inference"):
        for figures in result[work].values():
            assert figures["seconds"] > 0
            assert figures["fraction_of_peak"] > 0
    assert [peak["resident_mb"] > 100 for peak in result["memory_per_epoch"]] == [True, True]
    per_clip = result["activations"]["bytes_per_clip"]
    assert per_clip["stage_inputs"] + per_clip["largest_stage"] < per_clip["kept"]
