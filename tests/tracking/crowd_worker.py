"""One of several processes that start a run at the same moment; run as a script by the tests.

Arguments: repository root, experiment, number of this worker, file whose appearance starts it.
"""

import sys
import time
from pathlib import Path

from dae_aqa.tracking import start_training_run
from dae_aqa.tracking.store import quiet_mlflow

if __name__ == "__main__":
    root, experiment, number, go = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    quiet_mlflow()
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  slow: so that all are ready at go

    Path(f"{go}.ready{number}").touch()
    while not go.exists():
        time.sleep(0.001)
    tracker = start_training_run(
        root=root, experiment=experiment, resume_key=number, params={"worker": number}, tags={}
    )
    with tracker:
        for epoch in range(20):
            tracker.log_metrics({"loss": epoch * 0.5, "rho": 0.1}, step=epoch)
