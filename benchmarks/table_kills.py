"""Kill -9 at random moments of `dae-aqa table`: is the finished table that of a quiet run?

    python benchmarks/table_kills.py [--kills 5] [--jobs 1]

Three methods × two seeds on a small simdive, in temporary folders. Each kill goes to the command,
to the workers of DVC's queue, or to everything at once, the training included. The same command is
given again where it was killed. In the end the table, its seconds aside, must equal that of a run
that nobody disturbed; and a cell that was finished may not have been trained again.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

from _common import markdown_table, write_result
from stage_kills import DvcProject

NUM_EPOCHS = 40
ROWS = {"mlp": {"model": "mlp"}, "dae": {"model": "dae"}, "dae_mt": {"model": "dae_mt"}}
TARGETS = ("command", "workers", "everything")
WAIT_SECONDS = (5.0, 60.0)
SECONDS = ("train_seconds", "score_seconds")
_PATIENCE_SECONDS = 3600.0


class TableProject(DvcProject):
    """The small project with a table of three methods and two seeds."""

    def __init__(self, folder: Path, *, jobs: int) -> None:
        super().__init__(folder)
        self._jobs = jobs
        table = {"seeds": [0, 1], "every_row": {"num_epochs": NUM_EPOCHS}, "rows": ROWS}
        (folder / "table.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
        # it grows while DVC takes the workspace's changes aside
        (folder / ".git/info/exclude").write_text("/output.log\n")
        self.call("git", "rm", "--quiet", "--cached", "output.log")
        (folder / "reports/.gitignore").write_text("/*.csv\n/*.json\n/*.html\n/*.md\n")
        self.commit()

    def start_table(self) -> subprocess.Popen[bytes]:
        """Start `dae-aqa table`."""
        os.environ["PYTHONPATH"] = "src"
        command = (sys.executable, "-m", "dae_aqa.cli.main", "table", "--jobs", str(self._jobs))
        return self.begin(*command)

    def workers(self) -> Iterator[psutil.Process]:
        """Yield the workers of this project's queue."""
        for process in psutil.process_iter():
            try:
                folder = Path(process.cwd())
                if "queue-worker" in " ".join(process.cmdline()) and folder.is_relative_to(
                    self.folder.resolve()
                ):
                    yield process
            except psutil.Error:
                continue

    def table(self) -> pd.DataFrame:
        """Return the finished table without its seconds."""
        return pd.read_csv(self.folder / "reports/table.csv").drop(columns=list(SECONDS))

    def epochs_trained(self) -> collections.Counter[tuple[str, str]]:
        """Return how often each epoch of each cell was trained to its end."""
        seen: collections.Counter[tuple[str, str]] = collections.Counter()
        for path in self.folder.glob("logs/table-*/train.log"):
            found = re.findall(r": epoch (\d+): ", path.read_text())
            seen.update((path.parent.name, epoch) for epoch in found)
        return seen


def kill(project: TableProject, command: subprocess.Popen[bytes], target: str) -> int:
    """Kill `target` at once; return how many processes that were."""
    victims: list[Any] = []
    if target in ("workers", "everything"):
        victims += project.workers()
    if target == "everything":
        victims += project.processes()
    if target == "command":
        victims.append(command)
    for victim in victims:
        victim.kill()
    return len(victims)


def disturbed(project: TableProject, *, num_kills: int, rng: random.Random) -> list[dict[str, Any]]:
    """Make the table under kills; return what was killed when."""
    kills = []
    command = project.start_table()
    for _ in range(num_kills):
        seconds = rng.uniform(*WAIT_SECONDS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(seconds)
        target = rng.choice(TARGETS)
        was_running = command.poll() is None
        num = kill(project, command, target)
        kills.append(
            {
                "target": target,
                "after_seconds": round(seconds, 1),
                "num_processes": num,
                "was_running": was_running,
            }
        )
        print(kills[-1], flush=True)
        if target != "workers":
            command.wait()
            command = project.start_table()
    code = command.wait(_PATIENCE_SECONDS)
    if code != 0:
        output = (project.folder / "output.log").read_text(errors="replace")
        raise SystemExit(f"the table ended with exit code {code}:\n{output[-3000:]}")
    return kills


def main() -> None:
    """Make the table twice; write what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as quiet_folder, tempfile.TemporaryDirectory() as folder:
        project = TableProject(Path(folder), jobs=args.jobs)
        before = subprocess.check_output(["git", "status", "--porcelain"], cwd=folder)
        started = time.perf_counter()
        kills = disturbed(project, num_kills=args.kills, rng=rng)
        seconds = time.perf_counter() - started
        after = subprocess.check_output(["git", "status", "--porcelain"], cwd=folder)
        trained = project.epochs_trained()
        quiet = TableProject(Path(quiet_folder), jobs=args.jobs)
        if quiet.start_table().wait(_PATIENCE_SECONDS) != 0:
            raise SystemExit(f"the quiet run failed; see {quiet_folder}/output.log")
        identical = project.table().equals(quiet.table())
        again = time.perf_counter()
        project.start_table().wait(_PATIENCE_SECONDS)
        result = {
            "num_kills": len(kills),
            "num_while_running": sum(each["was_running"] for each in kills),
            "same_table": identical,
            "workspace_as_before": before == after,
            "epochs_trained": len(trained),
            "most_trainings_of_an_epoch": max(trained.values()),
            "seconds": round(seconds, 1),
            "epochs_trained_by_one_more_call": sum(project.epochs_trained().values())
            - sum(trained.values()),
            "seconds_of_one_more_call": round(time.perf_counter() - again, 1),
            "kills": kills,
        }
    path = write_result("table_kills", result)
    print(markdown_table(("", ""), [(k, v) for k, v in result.items() if k != "kills"]))
    print(path)


if __name__ == "__main__":
    main()
