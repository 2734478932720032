"""The pipeline as a user runs it: DVC, experiments, the queue, MLflow, sharing, and mistakes.

Everything happens in clones of the repository, on a small simulated dataset.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.released_checkpoint import write_released_checkpoint

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "num_epochs": 2,
    "train_batch_size": 8,
    "download": {"num_workers": 2},
    "extract_frames": {"width": 114, "height": 64},
    "make_splits": {"val_fraction": 0.25},
    "train": {
        "clips": {"starts": [4], "num_frames": 16, "stride": 6, "crop_px": 64, "size_px": 32}
    },
    "evaluate": {"num_bootstrap": 200, "num_worst": 2},
    "datasets": {
        "simdive": {
            "num_dives": 48,
            "test_fraction": 0.25,
            "dives_per_video": 12,
            "width": 128,
            "height": 72,
            "replay_probability": 0.0,
            "max_gap_seconds": 0.6,
        }
    },
}
pytestmark = pytest.mark.slow


def merge(target: dict, source: dict) -> dict:
    for key, value in source.items():
        target[key] = merge(target[key], value) if isinstance(value, dict) else value
    return target


class Project:
    """A clone of this repository with commands run in it."""

    def __init__(self, path: Path):
        self.path = path

    def run(self, *command: str, ok: bool = True) -> str:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "MLFLOW_", "DAE_AQA_", "GIT_"))
        }
        # as on a user's machine: bytecode appears in the sources while stages run
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=900
        )
        output = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, output[-4000:]
        return output

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run(
            *("git", "-c", "user.name=Test", "-c", "user.email=test@example.org"),
            *("commit", "--quiet", "--allow-empty", "--message", message),
        )

    def params(self) -> dict:
        return yaml.safe_load((self.path / "params.yaml").read_text())

    def set_params(self, changes: dict) -> None:
        text = yaml.safe_dump(merge(self.params(), changes), sort_keys=False)
        (self.path / "params.yaml").write_text(text)

    def stages(self) -> list[str]:
        return list(yaml.safe_load((self.path / "dvc.yaml").read_text())["stages"])

    def runs(self) -> pd.DataFrame:
        """Finished MLflow runs of the store at the repository's root."""
        script = (
            "import mlflow, sys; from dae_aqa.tracking import store_uri; from pathlib import Path;"
            "mlflow.set_tracking_uri(store_uri(root=Path.cwd()));"
            "runs = mlflow.search_runs(search_all_experiments=True);"
            "runs.to_csv('runs.csv', index=False)"
        )
        self.run(sys.executable, "-c", script)
        path = self.path / "runs.csv"
        runs = pd.read_csv(path)
        path.unlink()
        return runs

    def digests(self) -> dict[str, bytes]:
        folders = [self.path / name for name in ("data", "models", "reports")]
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


def copy_of_repository(target: Path) -> Project:
    """Clone what git tracks, as it is in the working tree."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, files):
        source = ROOT / name
        if source.is_file() and not name.startswith(("tests/", "docs/", "benchmarks/", "dvc.lock")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    project = Project(target)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        project.run("git", "config", key, value)
    project.set_params(TINY)
    project.commit("Start")
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = copy_of_repository(tmp_path_factory.mktemp("end_to_end") / "project")
    project.run("dvc", "repro")
    project.commit("Run the pipeline")
    return project


def test_repro_writes_all_that_the_readme_promises(project):
    metrics = json.loads((project.path / "reports/metrics.json").read_text())
    keys = (
        "spearman", "spearman_execution", "spearman_ci95", "rl2_x100",
        "mae", "rmse", "nll", "coverage_90", "num_test",
    )  # fmt: skip
    assert set(keys) <= set(metrics)
    predictions = pd.read_csv(project.path / "reports/predictions.csv")
    assert len(predictions) == metrics["num_test"] == 12
    assert {"sample_id", "final_score", "mu", "sigma", "true_sigma"} <= set(predictions)
    assert (project.path / "reports/index.html").stat().st_size > 10_000
    assert (project.path / "models/model.pt").exists()


def test_one_finished_run_holds_training_and_evaluation(project):
    runs = project.runs()
    assert runs["status"].tolist() == ["FINISHED"]
    run = runs.iloc[0]
    metrics = json.loads((project.path / "reports/metrics.json").read_text())
    assert run["metrics.test/spearman"] == pytest.approx(metrics["spearman"])
    assert run["params.lr"] == project.params()["lr"]
    assert run["tags.mlflow.runName"] == "dae_mt simdive"
    assert {"metrics.train/loss", "metrics.val/mae"} <= set(runs)


def test_second_repro_skips_every_stage(project):
    output = project.run("dvc", "repro")
    assert "Running stage" not in output
    assert "up to date" in project.run("dvc", "status")


def test_mistakes_name_themselves_and_leave_earlier_results(project):
    before = project.digests()
    text = (project.path / "params.yaml").read_text()
    mistakes = {
        "lr: -1 is out of range": {"lr": -1},
        "model: 'dae_tm' is not allowed (did you mean 'dae_mt'?)": {"model": "dae_tm"},
        "train.loss.alhpa: unknown key": {"train": {"loss": {"alhpa": 1}}},
        "Lr: unknown key (did you mean 'lr'?)": {"Lr": 1e-3, "lr": None},
        "dataset: 'simdvie' is not allowed": {"dataset": "simdvie"},
        "extra_key: unknown key": {"extra_key": 1},
        "videos_dir: 'data/videos' lies in": {"datasets": {"csv": {"videos_dir": "data/videos"}}},
    }
    for message, change in mistakes.items():
        changed = merge_new(project.params(), change)
        if "Lr" in changed:
            del changed["lr"]
        (project.path / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
        output = project.run("dvc", "repro", ok=False)
        assert message in output
        assert project.digests() == before
        (project.path / "params.yaml").write_text(text)
    assert "up to date" in project.run("dvc", "status")


def merge_new(target: dict, source: dict) -> dict:
    """As `merge`, but with keys that the target lacks."""
    for key, value in source.items():
        known = target.get(key)
        target[key] = merge_new(known, value) if isinstance(value, dict) else value
    return target


def test_experiment_reruns_train_and_evaluate_alone(project):
    before = len(project.runs())
    output = project.run("dvc", "exp", "run", "-S", "lr=3e-4")
    ran = [stage for stage in project.stages() if f"Running stage '{stage}'" in output]
    assert ran == ["check", "train", "evaluate"]
    runs = project.runs()
    assert len(runs) == before + 1
    assert set(runs["status"]) == {"FINISHED"}
    project.run("git", "checkout", "--quiet", "--", "params.yaml", "dvc.lock")
    project.run("dvc", "checkout", "--quiet")


def test_a_released_checkpoint_is_evaluated_without_training(project):
    write_released_checkpoint(project.path / "data/weights/released.pth")
    output = project.run(
        *("dvc", "exp", "run", "-S", "evaluate.checkpoint=data/weights/released.pth"),
        *("-S", "backbone=i3d", "-S", "train.clips.normalization=imagenet"),
    )
    assert "imported data/weights/released.pth as models/model.pt" in output
    metrics = json.loads((project.path / "reports/metrics.json").read_text())
    assert metrics["num_test"] == 12
    assert len((project.path / "reports/training.csv").read_text().splitlines()) == 1
    runs = project.runs()
    assert runs["tags.imported"].dropna().tolist() == ["data/weights/released.pth"]
    project.run("dvc", "plots", "show")
    assert "up to date" in project.run("dvc", "status")
    project.run("git", "checkout", "--quiet", "--", "params.yaml", "dvc.lock")
    project.run("dvc", "checkout", "--quiet")


def test_queue_of_four_on_a_store_that_does_not_exist(project):
    shutil.rmtree(project.path / ".mlflow")
    project.run(
        *("dvc", "exp", "run", "--queue", "-S", "lr=1e-4,3e-4", "-S", "model=dae,dae_mt"),
    )
    project.run("dvc", "queue", "start", "-j", "2")
    wait_for_queue(project)
    status = project.run("dvc", "queue", "status")
    assert status.count("Success") == 4, status
    runs = project.runs()
    assert len(runs) == 4
    assert set(runs["status"]) == {"FINISHED"}
    assert runs["tags.test.num_samples"].tolist() == [12] * 4
    assert runs["tags.dvc.exp_name"].nunique() == 4
    for uri in runs["artifact_uri"]:
        folder = Path(uri.removeprefix("file://"))
        assert (folder / "evaluation/predictions.csv").exists()
        assert (folder / "evaluation/calibration.csv").exists()
    shown = project.run("dvc", "exp", "show", "--csv")
    assert sum(name in shown for name in runs["tags.dvc.exp_name"]) == 4


def wait_for_queue(project: Project) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        status = project.run("dvc", "queue", "status")
        if not any(word in status for word in ("Queued", "Running")):
            return
        time.sleep(2)
    pytest.fail(f"the queue did not end:\n{status}")


def test_a_colleague_pulls_and_runs_nothing(project, tmp_path):
    project.run("dvc", "remote", "add", "--force", "-d", "team", str(tmp_path / "remote"))
    project.commit("Name the remote")
    project.run("dvc", "push")
    Project(tmp_path).run("git", "clone", "--quiet", str(project.path), "colleague")
    colleague = Project(tmp_path / "colleague")
    colleague.run("dvc", "pull")
    assert "up to date" in colleague.run("dvc", "status")
    assert "Running stage" not in colleague.run("dvc", "repro")
    output = colleague.run("dvc", "exp", "run", "-S", "lr=5e-4")
    assert "Running stage 'train'" in output
    assert "Running stage 'download'" not in output
    assert "Running stage 'extract_frames'" not in output
