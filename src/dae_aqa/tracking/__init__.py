"""Experiment tracking: one MLflow store for all experiments of a repository, one run per training.

The only importer of mlflow. It is imported when a run starts, never before (seconds, not
milliseconds), and without its telemetry.
"""

from dae_aqa.tracking.evaluation import log_evaluation
from dae_aqa.tracking.start import start_training_run
from dae_aqa.tracking.store import store_uri
from dae_aqa.tracking.tracker import NullTracker, Tracker

__all__ = [
    "NullTracker",
    "Tracker",
    "log_evaluation",
    "start_training_run",
    "store_uri",
]
