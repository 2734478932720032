"""A whole tracked training in a process of its own. Argument: repository root."""

import sys
from pathlib import Path

import tiny_model

from dae_aqa.tracking import model, start_training_run

if __name__ == "__main__":
    model._LOADER_MODULE = "tiny_model"
    root = Path(sys.argv[1])
    path = tiny_model.save(root / "model.pt", weight=2.0)
    with start_training_run(
        root=root, experiment="e", resume_key="k", run_name="r", params={"lr": 0.1}, tags={}
    ) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=0)
        tracker.log_model(model_path=path, step=0)
