"""Does anything outlive a stage, a DVC or a queue that is killed, and does the work go on after?

    python benchmarks/stage_kills.py [--only train queue]

The pipeline on a small simdive, under DVC, in a temporary folder. SIGTERM and SIGKILL go to each
stage and to the `dvc repro` above it, to a training of two processes and to the DVC above it, and
`dvc queue kill` (with and without `--force`) to two jobs of a queue. Asked each time: how long
until no process is left, what the MLflow run says then, whether the checkpoint is there, and
whether the same command, given again, goes on to the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from _common import REPO_ROOT, markdown_table, write_result
from training_kills import Project

STAGES = ("check", "download", "extract_frames", "make_splits", "train", "evaluate")
NUM_EPOCHS = 12
NUM_QUEUED_EPOCHS = 40  # `dvc queue kill` itself takes seconds
LIMIT_SECONDS = 10.0  # no process may be left after these
_PATIENCE_SECONDS = 900.0
_MARKER = "STAGE_KILLS"
_LOOK = (
    "from pathlib import Path; from dae_aqa.tracking.alive import mark_killed_runs;"
    "from dae_aqa.tracking.store import open_store; mark_killed_runs(open_store(root=Path.cwd()))"
)


class DvcProject(Project):
    """The small project with Git and DVC; its processes carry a mark in their environment."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, num_epochs=NUM_EPOCHS)
        self.set({"train.tracking": True})
        self._mark = uuid.uuid4().hex
        for name in ("dvc.yaml", ".dvcignore", ".gitignore", "data/.gitignore"):
            if (REPO_ROOT / name).exists():
                shutil.copy(REPO_ROOT / name, folder / name)
        self.call("git", "init", "--quiet")
        self.call("dvc", "init", "--quiet")
        shutil.copy(REPO_ROOT / ".dvc/config", folder / ".dvc/config")
        self.call("dvc", "repro")
        self.commit()

    def commit(self) -> None:
        """Commit everything."""
        self.call("git", "add", "--all")
        who = ("-c", "user.name=Bench", "-c", "user.email=bench@example.org")
        self.call("git", *who, "commit", "--quiet", "--allow-empty", "--message", "State")

    def begin(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command of which every process can be found."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "DAE_", "MLFLOW_", "GIT_"))
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each stage would compile torch anew
        environment[_MARKER] = self._mark
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        with (self.folder / "output.log").open("ab") as output:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=output,
                                    stdout=output)  # fmt: skip

    def call(self, *command: str) -> None:
        """Run a command to its good end."""
        if self.begin(*command).wait() != 0:
            output = (self.folder / "output.log").read_text(errors="replace")
            raise SystemExit(f"{' '.join(command)} failed:\n{output[-3000:]}")

    def processes(self) -> Iterator[psutil.Process]:
        """Yield what lives of the project's processes, the queue's waiting workers left out."""
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(_MARKER) == self._mark
                lives = process.status() != psutil.STATUS_ZOMBIE
                if ours and lives and "queue-worker" not in " ".join(process.cmdline()):
                    yield process
            except psutil.Error:
                continue

    def stage(self, name: str) -> psutil.Process | None:
        """Return the process that runs the stage (`torchrun` where several train)."""
        for process in self.processes():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if f"stages/{name}.py" in line and "-c" not in line:
                return process
        return None

    def run_status(self, run: str | None = None) -> tuple[str, str]:
        """Return id and status of the given or of the newest MLflow run."""
        with sqlite3.connect(self.folder / ".mlflow/mlflow.db", timeout=30) as store:
            query = "SELECT run_uuid, status FROM runs WHERE ? IN (run_uuid, '') "
            found = store.execute(query + "ORDER BY start_time DESC", (run or "",)).fetchone()
        return str(found[0]), str(found[1])

    def look_for_killed_runs(self) -> None:
        """Open the store, as the next training, evaluation or `dae-aqa ui` does."""
        os.environ["PYTHONPATH"] = "src"
        self.call(sys.executable, "-c", _LOOK)

    def train_log(self, experiment: str = "workspace") -> str:
        """Return the log of the training."""
        path = self.folder / f"logs/{experiment}/train.log"
        return path.read_text() if path.exists() else ""

    def num_checkpoints(self) -> int:
        """Return how many unfinished trainings have a checkpoint."""
        return len(list((self.folder / ".cache/trainings").glob("*/checkpoint.pt")))


def wait_until(condition: Callable[[], Any]) -> Any:
    """Return the first result of `condition` that is true."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    raise SystemExit("nothing happened in a quarter of an hour")


def seconds_until_gone(project: DvcProject) -> float | None:
    """Return the seconds until no process is left; None where one stays."""
    started = time.monotonic()
    while time.monotonic() - started < 3 * LIMIT_SECONDS:
        if not any(project.processes()):
            return time.monotonic() - started
        time.sleep(0.1)
    for process in project.processes():
        process.kill()
    return None


def kill_stage(
    project: DvcProject, name: str, *, target: str, number: signal.Signals
) -> dict[str, Any]:
    """Kill a stage, or the DVC above it; run it again."""
    for path in (".cache/trainings", ".cache/download", ".cache/frames"):
        shutil.rmtree(project.folder / path, ignore_errors=True)
    (project.folder / "logs/workspace/train.log").unlink(missing_ok=True)
    command = ("dvc", "repro", "--single-item", "--force", name)
    dvc = project.begin(*command)
    stage = wait_until(lambda: project.stage(name))
    if name == "train":
        wait_until(lambda: project.train_log().count(": epoch ") >= 2)
    elif name == "download":
        wait_until(lambda: len(stage.children()) >= 2)
    (stage if target == "stage" else dvc).send_signal(number)
    seconds = seconds_until_gone(project)
    result = {"seconds_until_gone": seconds, "exit_code_of_dvc": dvc.wait()}
    if name == "train":
        run, status = project.run_status()
        project.look_for_killed_runs()
        result |= {
            "checkpoints": project.num_checkpoints(),
            "run_at_once": status,
            "run_when_looked_at": project.run_status(run)[1],
        }
    project.call(*command)
    if name == "train":
        result |= {
            "resumed": "resuming after epoch" in project.train_log(),
            "run_in_the_end": project.run_status(run)[1],
        }
    return result


def kill_queue(project: DvcProject, *options: str) -> dict[str, Any]:
    """Kill two jobs of a queue; queue the same again."""
    shutil.rmtree(project.folder / ".cache/trainings", ignore_errors=True)
    # other trainings than those of the cases before, which DVC would restore from its cache
    num_epochs = NUM_QUEUED_EPOCHS + len(options)
    names = queue_two(project, num_epochs=num_epochs)
    wait_until(lambda: all(project.train_log(name).count(": epoch ") >= 2 for name in names))
    project.call("dvc", "queue", "kill", *options, *names)
    seconds = seconds_until_gone(project)
    project.look_for_killed_runs()
    with sqlite3.connect(project.folder / ".mlflow/mlflow.db", timeout=30) as store:
        query = "SELECT status FROM runs ORDER BY start_time DESC LIMIT 2"
        statuses = [row[0] for row in store.execute(query)]
    checkpoints = project.num_checkpoints()
    again = queue_two(project, num_epochs=num_epochs)
    logs = [project.folder / f"logs/{name}/evaluate.log" for name in again]
    wait_until(lambda: all(path.exists() for path in logs))
    wait_until(lambda: not any(project.processes()))
    return {
        "seconds_until_gone": seconds,
        "checkpoints": checkpoints,
        "run_when_looked_at": "/".join(statuses),
        "resumed": all("resuming after epoch" in project.train_log(name) for name in again),
        "run_in_the_end": project.run_status()[1],
    }


def queue_two(project: DvcProject, *, num_epochs: int) -> list[str]:
    """Queue two trainings and start two workers; return the experiments' names."""
    names = [f"job-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name, rate in zip(names, ("1e-3", "3e-3"), strict=True):
        changes = ("-S", f"lr={rate}", "-S", f"num_epochs={num_epochs}")
        project.call("dvc", "exp", "run", "--queue", "--name", name, *changes)
    project.call("dvc", "queue", "start", "-j", "2")
    return names


def cases(chosen: list[str]) -> Iterator[tuple[str, Callable[[DvcProject], dict[str, Any]]]]:
    """Yield the name of each case, and what does it."""
    for stage in [*STAGES, "train of 2 processes"]:
        if stage not in chosen:
            continue
        name, _, several = stage.partition(" of ")
        for target in ("stage", "dvc"):
            for number in (signal.SIGTERM, signal.SIGKILL):

                def run(
                    project: DvcProject,
                    *,
                    several: str = several,
                    name: str = name,
                    target: str = target,
                    number: signal.Signals = number,
                ) -> dict[str, Any]:
                    project.set({"train.num_processes": 2 if several else 1})
                    return kill_stage(project, name, target=target, number=number)

                yield f"{number.name} to {target}: {stage}", run
    if "queue" in chosen:
        for options in ((), ("--force",)):
            yield (
                " ".join(("dvc queue kill", *options)),
                lambda project, o=options: kill_queue(project, *o),
            )


def main() -> None:
    """Kill, wait, run again; write what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    everything = [*STAGES, "train of 2 processes", "queue"]
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        project = DvcProject(Path(name))
        for title, run in cases(args.only):
            found[title] = run(project)
            print(title, found[title], flush=True)
    in_time = [
        case["seconds_until_gone"] is not None and case["seconds_until_gone"] <= LIMIT_SECONDS
        for case in found.values()
    ]
    path = write_result(
        "stage_kills",
        {"num_cases": len(found), "num_gone_in_ten_seconds": sum(in_time), "cases": found},
    )
    columns = ("seconds_until_gone", "checkpoints", "run_at_once", "run_when_looked_at", "resumed")
    rows = [(title, *(case.get(column, "") for column in columns)) for title, case in found.items()]
    print(markdown_table(("", *columns), rows))
    print(path)


if __name__ == "__main__":
    main()
