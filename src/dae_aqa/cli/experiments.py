"""DVC experiments and their queue, as a program sees them: names, states, results.

What is finished is asked of Git, where a finished experiment is a ref; its results lie in DVC's
cache under the hashes of its `dvc.lock`. What waits or runs is asked of `dvc queue status`.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dae_aqa.cli.dvc import call_dvc
from dae_aqa.errors import OutputError
from dae_aqa.files.outputs import cached_file, hashes_in_lock
from dae_aqa.files.whole import remove, written_whole

State = Literal["Queued", "Running", "Failed", "Success"]
_TASK = re.compile(r"^([0-9a-f]{7,})\s+(\S+)\s.*\b(Queued|Running|Failed|Success)\s*$")
_WORKER = "queue-worker"  # in the command line of each, as DVC starts them
# what else lies under refs/exps belongs to DVC's own work
_EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(?P<name>.+)")
_PLAIN_TEXT = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_PLAIN = ("true", "false", "null", "nan", "inf", "yes", "no", "on", "off")
_LEAVES_SECONDS = 60.0  # what `dvc exp run --queue` may take


@dataclass(frozen=True)
class Queue:
    """What `dvc queue status` says.

    Attributes:
        states: of each experiment by name; of several tasks of one name the liveliest.
        tasks: the short revision of the task of each, by which processes name it.
    """

    states: Mapping[str, State]
    tasks: Mapping[str, str]


def git(*arguments: str, root: Path) -> str:
    """Return the output of `git`.

    Raises:
        OutputError: it fails, or there is none.
    """
    command = f"`git {' '.join(arguments)}` failed"
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True)
    except OSError as error:
        raise OutputError(f"{command}: {error.strerror}") from error
    if done.returncode != 0:
        raise OutputError(f"{command}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


def try_git(*arguments: str, root: Path) -> str | None:
    """Return the output of `git`; None where it fails, or there is none."""
    try:
        return git(*arguments, root=root)
    except OutputError:
        return None


def finished_experiments(*, root: Path) -> dict[str, str]:
    """Return by name the commit of each finished experiment, whatever commit it starts from.

    Of equal names it is the newest. Where there is no Git, there is none.
    """
    form = "--format=%(objectname) %(refname)"
    told = try_git("for-each-ref", "--sort=committerdate", form, "refs/exps", root=root)
    found = {}
    for line in (told or "").splitlines():
        commit, _, reference = line.partition(" ")
        if experiment := _EXPERIMENT.fullmatch(reference):
            found[experiment["name"]] = commit
    return found


def queue_status(*, root: Path) -> Queue:
    """Return what waits, runs and is over.

    Raises:
        OutputError: DVC does not say.
    """
    return parse_queue_status(call_dvc("queue", "status", root=root))


def parse_queue_status(text: str) -> Queue:
    """Return what the output of `dvc queue status` says."""
    liveliest = ("Running", "Queued", "Success", "Failed")
    states: dict[str, Any] = {}
    tasks: dict[str, str] = {}
    for line in text.splitlines():
        if task := _TASK.match(line):
            revision, name, state = task.groups()
            if name not in states or liveliest.index(state) < liveliest.index(states[name]):
                states[name], tasks[name] = state, revision
    return Queue(states=states, tasks=tasks)


def enqueue(name: str, changes: Mapping[str, Any], *, root: Path) -> None:
    """Put an experiment into DVC's queue.

    Raises:
        OutputError: DVC refuses.
    """
    sets = [part for key, value in changes.items() for part in ("-S", f"{key}={set_text(value)}")]
    call_dvc("exp", "run", "--queue", "--name", name, *sets, root=root)


def set_text(value: object) -> str:
    """Return a value of YAML as `dvc exp run -S key=value` reads it.

    Example: `[0, 'a b', None]` gives `[0,'a b',null]`.
    """
    if isinstance(value, list):
        return f"[{','.join(map(set_text, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN_TEXT.fullmatch(value) and value.lower() not in _NOT_PLAIN:
        return value
    # Source: the override grammar of Hydra 1.3: a backslash before a quote must be doubled
    quoted = re.sub(r"(\\+)(?='|$)", r"\1\1", value).replace("'", "\\'")
    return f"'{quoted}'"


def count_workers(*, root: Path) -> int:
    """Return how many workers of the repository's queue live.

    The system is asked, not DVC: its workers answer it late where the machine is busy, and then
    count as gone.
    """
    import psutil

    num_workers, folder = 0, root.resolve()
    for process in psutil.process_iter():
        try:
            is_worker = _WORKER in " ".join(process.cmdline())
            num_workers += is_worker and Path(process.cwd()) == folder
        except psutil.Error:
            continue
    return num_workers


def running_tasks() -> list[str]:
    """Return the revisions of the tasks that a living worker runs, as DVC's processes name them."""
    import psutil

    tasks = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if "exec-run" not in line or "--infofile" not in line:
                continue
            parent = process.parent()
            if parent is not None and _WORKER in " ".join(parent.cmdline()):
                tasks.append(Path(line[line.index("--infofile") + 1]).stem)
        except psutil.Error:
            continue
    return tasks


def remove_abandoned_copies(*, root: Path) -> None:
    """Remove the copies of the repository that DVC leaves behind where a worker is killed.

    Nothing is removed while an experiment of the queue runs, whoever's it is.
    """
    import psutil

    if "Running" in queue_status(root=root).states.values():
        return
    copies = [path for path in (root / ".dvc/tmp/exps").glob("tmp*") if path.is_dir()]
    used = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            used.add(Path(process.cwd()))
    for copy in copies:
        if not any(path.is_relative_to(copy) for path in used):
            remove(copy)


def result_files(commit: str, *, root: Path) -> dict[Path, Path]:
    """Return by path the content of each output of a finished experiment, files of folders too.

    Raises:
        OutputError: DVC's cache does not hold it.
    """
    files: dict[Path, Path] = {}
    for outputs in hashes_in_lock(git("show", f"{commit}:dvc.lock", root=root)).values():
        for path, md5 in outputs.items():
            content = cached_file(md5, root=root)
            if content.suffix == ".dir" and content.is_file():
                for entry in json.loads(content.read_text(encoding="utf-8")):
                    files[path / entry["relpath"]] = cached_file(entry["md5"], root=root)
            else:
                files[path] = content
    return files


@contextmanager
def guarded_workspace(note: Path, *, root: Path) -> Iterator[None]:
    """Remember the workspace while DVC queues experiments.

    DVC puts the workspace's own changes into Git's stash for a second or two, once for each
    experiment. Should everything be killed just then, `restore_workspace` brings them back.

    Args:
        note: the file that tells of it meanwhile.
        root: the repository's root.
    """
    head = (try_git("symbolic-ref", "--quiet", "HEAD", root=root) or "").strip()
    changes = git("stash", "create", "dae-aqa table: the workspace", root=root).strip()
    note.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(note) as part:
        part.write_text(json.dumps({"head": head, "changes": changes}), encoding="utf-8")
    yield
    note.unlink()


def restore_workspace(note: Path, *, root: Path, say: Callable[[str], None]) -> None:
    """Bring back what a killed call left in Git's stash; nothing where all is in place.

    What is found in the workspace instead stays in Git's stash.

    Raises:
        OutputError: Git refuses.
    """
    if not note.is_file():
        return
    _wait_for_queueing(root)
    kept = json.loads(note.read_text(encoding="utf-8"))
    is_attached = try_git("symbolic-ref", "--quiet", "HEAD", root=root) is not None
    is_detached = kept["head"] and not is_attached
    found = git("stash", "create", root=root).strip()
    if is_detached or (kept["changes"] and not found):
        say("The call before was killed while DVC held the workspace; it is put back.")
        if found:
            git("stash", "push", "--message", "dae-aqa table: found after a kill", root=root)
        if is_detached:
            git("symbolic-ref", "HEAD", kept["head"], root=root)
        if kept["changes"]:
            git("stash", "apply", "--quiet", "--index", kept["changes"], root=root)
    note.unlink()


def _wait_for_queueing(root: Path) -> None:
    """Wait for a `dvc exp run --queue` that outlived the call that started it."""
    import psutil

    def is_queueing(process: psutil.Process) -> bool:
        try:
            line = process.cmdline()
            return "--queue" in line and "exp" in line and Path(process.cwd()) == root
        except psutil.Error:
            return False

    deadline = time.monotonic() + _LEAVES_SECONDS
    while any(map(is_queueing, psutil.process_iter())) and time.monotonic() < deadline:
        time.sleep(0.2)


def untracked(paths: Iterable[str], *, root: Path) -> list[str]:
    """Return the files in `paths` that Git does not know, and does not ignore either."""
    found = git("ls-files", "--others", "--exclude-standard", "--", *paths, root=root)
    return found.splitlines()
