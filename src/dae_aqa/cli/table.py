"""`dae-aqa table`: methods × seeds in one table, every cell a DVC experiment of the queue.

A call may end at any moment, and so may a worker of the queue. The next call asks Git and DVC what
is there, and goes on: a finished cell is an experiment with a name of its own, and an unfinished
training resumes from its checkpoints.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from dae_aqa.cli.dvc import call_dvc, run_dvc, try_dvc
from dae_aqa.cli.experiments import (
    count_workers,
    enqueue,
    finished_experiments,
    git,
    guarded_workspace,
    queue_status,
    remove_abandoned_copies,
    restore_workspace,
    result_files,
    running_tasks,
    untracked,
)
from dae_aqa.cli.table_file import TABLE_FILE, CellPlan, read_table_file
from dae_aqa.errors import OutputError, ParamsError, TrackingError
from dae_aqa.files.hashing import file_sha256, value_sha256
from dae_aqa.files.outputs import recorded_hashes, stage_outputs
from dae_aqa.files.whole import written_whole
from dae_aqa.files.yaml_file import parse_yaml, read_yaml
from dae_aqa.method_table.cells import Cell
from dae_aqa.options import flatten
from dae_aqa.params import Params
from dae_aqa.params.check import check_project
from dae_aqa.running.places import cache_dir, check_outputs
from dae_aqa.wording import first_few

REPORTS = tuple(Path(f"reports/table.{kind}") for kind in ("md", "csv", "html", "json"))
_RESULTS = (Path("reports/metrics.json"), Path("reports/predictions.csv"))
_FRAMES_STAGE = "extract_frames"
_READ_BY_DATA_STAGES = ("dataset", "datasets", "download", "extract_frames")
_NO_MATTER = ("src/dae_aqa/report",)  # changes no figure of a cell
_NOT_CODE = ("__pycache__", "recipes")
_SECONDS_BETWEEN_LOOKS = 4.0
_PAUSE_PER_LOOK = 10  # times the seconds that a look took: asking DVC costs a core for seconds
_MAX_LOST = 3  # times that a cell's worker may vanish in one call
_NUM_LOG_LINES = 200

logger = logging.getLogger(__name__)


def make_table(*, root: Path, jobs: int) -> int:
    """Run what is missing of the table and write it; return 1 if a cell has no result.

    Args:
        root: the repository's root, which is the working directory.
        jobs: how many cells run at once.

    Raises:
        DaeAqaError: table.yaml or params.yaml is not valid, or DVC or Git refuses.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with FileLock(cache_dir("table") / "lock", timeout=0):
            return _run_and_write(root=root, jobs=jobs)
    except KeyboardInterrupt:
        logger.warning("Stopped; call it again to go on where it was.")
        return 130
    except Timeout as error:
        raise OutputError(
            f"another `dae-aqa table` runs in this repository ({error.lock_file} is held). Wait "
            "for it, or stop it with Ctrl-C."
        ) from error


def _run_and_write(*, root: Path, jobs: int) -> int:
    note = cache_dir("table") / "workspace.json"
    restore_workspace(note, root=root, say=logger.warning)
    own = check_project(root=root)
    cells = read_table_file(TABLE_FILE, root=root)
    check_outputs(*REPORTS)
    _refuse_untracked_code(root)
    sharing = [cell for cell in cells if _data_params(cell.params) == _data_params(own)]
    if sharing:
        _make_frames(root=root)
    run = _Run(cells=_names(cells, sharing=sharing, root=root), jobs=jobs, root=root, note=note)
    try:
        run.to_the_end()
    except KeyboardInterrupt:
        run.stop()
        raise
    remove_abandoned_copies(root=root)
    return _write(run, cells=cells, root=root)


@dataclass
class _Run:
    """The cells on their way through DVC's queue.

    Attributes:
        cells: by name of the experiment.
        jobs: how many run at once.
        root: the repository's root.
        note: see `guarded_workspace`.
        finished: by name, the commit of each that has ended well.
        failed: those that have not, and why.
        mine: those that this call has queued or found in the queue.
        lost: how often the worker of a cell has vanished.
        cut_off: those whose worker has vanished, until they are queued again.
    """

    cells: Mapping[str, CellPlan]
    jobs: int
    root: Path
    note: Path
    finished: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    mine: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    cut_off: set[str] = field(default_factory=set)
    _over: set[str] = field(default_factory=set)
    _said: str = ""

    def to_the_end(self) -> None:
        """Queue what is missing, and wait until nothing waits or runs."""
        while True:
            asked = time.monotonic()
            queue = queue_status(root=self.root)
            pause = max(_SECONDS_BETWEEN_LOOKS, _PAUSE_PER_LOOK * (time.monotonic() - asked))
            # asked after the queue: what ends in between is then found finished
            known = finished_experiments(root=self.root)
            self.finished = {name: known[name] for name in self.cells if name in known}
            left = [name for name in self.cells if name not in self.finished | self.failed]
            if not left:
                return
            live = [name for name in left if queue.states.get(name) in ("Queued", "Running")]
            over = self._surely_over([name for name in left if name not in live])
            self._judge(over)
            left = [name for name in left if name not in self.failed]
            self._enqueue([name for name in over if name in left], seen=queue.states)
            self.mine |= set(left)
            self._free_lost([name for name in live if queue.states[name] == "Running"], queue.tasks)
            if left and count_workers(root=self.root) < min(self.jobs, len(left)):
                call_dvc("queue", "start", "--jobs", str(self.jobs), root=self.root)
            self._say(running=sum(queue.states[name] == "Running" for name in live))
            time.sleep(pause)

    def stop(self) -> None:
        """Take this table's cells out of the queue, and end those that run."""
        queue = queue_status(root=self.root)
        for state, action in (("Queued", "remove"), ("Running", "kill")):
            names = [name for name in self.cells if queue.states.get(name) == state]
            if names:
                try_dvc("queue", action, *names, root=self.root)

    def _surely_over(self, over: Sequence[str]) -> list[str]:
        """Return those of `over` that were over at the last look too, or were never queued.

        A cell that a worker is just taking from the queue is for a moment neither there nor
        running.
        """
        known, self._over = self._over, set(over)
        return [
            name for name in over if name in known or name in self.cut_off or name not in self.mine
        ]

    def _judge(self, over: Sequence[str]) -> None:
        """Note as failed what was in the queue, is there no more and has no result."""
        for name in over:
            if name in self.cut_off and self.lost[name] >= _MAX_LOST:
                self.failed[name] = f"its worker vanished {_MAX_LOST} times"
            elif name in self.mine and name not in self.cut_off:
                self.failed[name] = _reason(name, root=self.root)
            else:
                continue
            logger.error("%s failed; the others go on", name)

    def _enqueue(self, names: Sequence[str], *, seen: Collection[str]) -> None:
        if not names:
            return
        logger.info("queueing %d of %d cells", len(names), len(self.cells))
        old = [name for name in names if name in seen]
        if old:  # failed in an earlier call, or cut off
            call_dvc("queue", "remove", *old, root=self.root)
        for name in names:
            with guarded_workspace(self.note, root=self.root):
                enqueue(name, self.cells[name].changes, root=self.root)
            self.cut_off.discard(name)

    def _free_lost(self, running: Sequence[str], tasks: Mapping[str, str]) -> None:
        """Tell DVC of cells that no worker runs any more, which it would call running for ever."""
        alive = running_tasks()
        for name in running:
            if any(task.startswith(tasks[name]) for task in alive):
                continue
            # DVC refuses where a worker still prepares the cell, or collects its results
            code, _ = try_dvc("queue", "kill", name, root=self.root)
            if code == 0 and name not in self.cut_off:
                self.cut_off.add(name)
                self.lost[name] = self.lost.get(name, 0) + 1
                logger.warning("%s: its worker is gone; it is queued again", name)

    def _say(self, *, running: int) -> None:
        text = f"{len(self.finished)} of {len(self.cells)} cells finished, {running} running"
        if self.failed:
            text += f", {len(self.failed)} failed"
        if text != self._said:
            logger.info("%s", text)
            self._said = text


def _reason(name: str, *, root: Path) -> str:
    """Return why a cell failed: what its stage said, or what DVC said."""
    _, log = try_dvc("queue", "logs", name, root=root)
    lines = [line.strip() for line in log.splitlines()[-_NUM_LOG_LINES:] if line.strip()]
    for number, line in enumerate(lines):
        if re.match(r"\w+ failed\b", line):  # see `running.runtime`
            said = [line, *lines[number + 1 : number + 3]]
            return " ".join(each for each in said if not each.startswith("(log:"))
    said = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    return said[0] if said else "it left no log"


def _refuse_untracked_code(root: Path) -> None:
    new = untracked(["src", "stages"], root=root)
    if new:
        raise ParamsError(
            f"{first_few(new)}: not known to Git, so that no experiment would carry it. Run "
            "`git add` on it; it need not be committed."
        )


def _make_frames(*, root: Path) -> None:
    """Make the frames in the workspace, once for all cells that use them."""
    logger.info("frames, which all cells share: dvc repro %s", _FRAMES_STAGE)
    code = run_dvc("repro", "--quiet", _FRAMES_STAGE, root=root)
    if code != 0:
        raise OutputError(
            f"`dvc repro {_FRAMES_STAGE}` failed (exit code {code}), so that no cell can be run; "
            "see its message above."
        )


def _data_params(params: Params) -> dict[str, object]:
    return {key: params.used[key] for key in _READ_BY_DATA_STAGES}


def _names(
    cells: Sequence[CellPlan], *, sharing: Sequence[CellPlan], root: Path
) -> dict[str, CellPlan]:
    """Return the cells by the names of their experiments; `sharing` use the workspace's data."""
    code = _code_digest(root)
    data = {str(path): md5 for path, md5 in recorded_hashes().get("download", {}).items()}
    of_workspace, of_their_own = (value_sha256([code, each]) for each in (data, None))
    return {
        cell.experiment(made_from=of_workspace if cell in sharing else of_their_own): cell
        for cell in cells
    }


def _code_digest(root: Path) -> str:
    """Return what stands for the code that decides the figures of a cell."""
    content = read_yaml(Path("dvc.yaml"))
    assert isinstance(content, dict)
    outputs = {out.path.as_posix() for each in stage_outputs(root).values() for out in each}
    places = {dep for stage in content["stages"].values() for dep in stage.get("deps", [])}
    files: set[Path] = set()
    for place in places - outputs - set(_NO_MATTER):
        path = root / place
        files |= {path} if path.is_file() else set(path.rglob("*.py"))
    return value_sha256(
        {
            path.relative_to(root).as_posix(): file_sha256(path)
            for path in files
            if not set(_NOT_CODE) & set(path.parts)
        }
    )


def _write(run: _Run, *, cells: Sequence[CellPlan], root: Path) -> int:
    """Write the table of what is finished; return the exit code."""
    from dae_aqa.datasets import DATASETS
    from dae_aqa.method_table.page import render_table
    from dae_aqa.method_table.rows import blocks_of, ceilings_of
    from dae_aqa.method_table.texts import csv_table, json_cells, markdown

    finished = [
        read_cell(run.cells[name], commit, root=root) for name, commit in run.finished.items()
    ]
    unfinished = [
        f"{name}: {reason} (log: `dvc queue logs {name}`)" for name, reason in run.failed.items()
    ]
    datasets = sorted({cell.params.dataset for cell in cells})
    seeds: dict[str, list[int]] = {}
    for cell in cells:
        seeds.setdefault(cell.row, []).append(cell.seed)
    published = DATASETS[datasets[0]].published if len(datasets) == 1 else ()
    blocks, ceilings = blocks_of(finished, seeds=seeds, published=published), ceilings_of(finished)
    title = f"{len(seeds)} methods on {' and '.join(datasets)}"
    texts = (
        markdown(blocks, ceilings, title=title, unfinished=unfinished),
        csv_table(blocks, ceilings),
        render_table(blocks, ceilings, title=title, unfinished=unfinished),
        json_cells(finished),
    )
    for path, text in zip(REPORTS, texts, strict=True):
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")
    for line in unfinished:
        logger.error("failed: %s", line)
    logger.info("%d of %d cells: %s", len(finished), len(cells), ", ".join(map(str, REPORTS)))
    return 1 if unfinished else 0


def read_cell(plan: CellPlan, commit: str, *, root: Path) -> Cell:
    """Return what a finished experiment wrote.

    Raises:
        OutputError: DVC's cache does not hold it, or it was run with other parameters.
    """
    from dae_aqa.tables.predictions import read_predictions
    from dae_aqa.tracking.seconds import Seconds, seconds_of

    told = parse_yaml(git("show", f"{commit}:params.yaml", root=root), source=f"{commit[:7]}")
    own = flatten(plan.params)
    if not isinstance(told, dict) or flatten(told) != own:
        raise OutputError(
            f"experiment {commit[:7]} of row {plan.row!r} was run with other parameters than the "
            "table asks for. Remove it with `dvc exp remove` and call this again."
        )
    files = result_files(commit, root=root)
    missing = [str(path) for path in _RESULTS if path not in files or not files[path].is_file()]
    if missing:
        raise OutputError(
            f"experiment {commit[:7]} of row {plan.row!r}: DVC's cache does not hold "
            f"{first_few(missing)}. Fetch it with `dvc exp pull`, or remove the experiment with "
            "`dvc exp remove` to run it again."
        )
    models = [file for path, file in files.items() if path.parts[0] == "models" and file.is_file()]
    try:
        seconds = seconds_of(
            [file_sha256(file) for file in models],
            root=root,
            experiment=plan.params.train.experiment,
        )
    except TrackingError as error:
        logger.warning("Seconds are unknown. %s", error)
        seconds = Seconds()
    metrics, predictions = (files[path] for path in _RESULTS)
    return Cell(
        row=plan.row,
        seed=plan.seed,
        model=plan.params.model,
        metrics=json.loads(metrics.read_text(encoding="utf-8")),
        predictions=read_predictions(predictions),
        train_seconds=seconds.train,
        score_seconds=seconds.score,
        settings={
            key: value
            for key, value in flatten(plan.params.used).items()
            if key not in ("seed", "protocol")
        },
    )
