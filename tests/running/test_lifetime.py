"""A stage ends when it is told to or when DVC is gone; its workers end with it. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
PATIENCE_SECONDS = 60.0  # a busy machine starts processes slowly
STAGE = """
import signal, sys, time
from pathlib import Path
from dae_aqa.running import lifetime
from dae_aqa.running.runtime import run_stage
def main():
    Path("began").touch()
    for _ in range(6000):
        time.sleep(0.01)
run_stage("cut", main)
"""


class Stages:
    """Starts processes in a folder, and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[psutil.Process] = []

    def start(self, script: str, *, before: Callable[[], object] | None = None, **settings: str):
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), **settings}
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=self.folder,
            env=environment,
            stderr=subprocess.DEVNULL,
            preexec_fn=before,
        )

    def start_under_dvc(self, *, in_shell: bool, **settings: str) -> psutil.Process:
        """Start the stage as DVC does: a process with a shell, or what the shell makes way for."""
        (self.folder / "stage.py").write_text(STAGE)
        command = f"'{sys.executable}' stage.py; true"
        command = command if in_shell else f"exec {command}"
        script = f"""
            import os, subprocess
            subprocess.run(["/bin/sh", "-c", {command!r}], env={{**os.environ, **{settings!r}}})
        """
        dvc = psutil.Process(self.start(script).pid)
        self.wait_for("began")
        self._started.extend(dvc.children(recursive=True))
        return dvc

    def wait_for(self, name: str) -> None:
        wait_until((self.folder / name).exists)

    def log(self) -> str:
        return (self.folder / "logs/workspace/cut.log").read_text()

    def clean_up(self) -> None:
        for process in self._started:
            if process.is_running():
                process.kill()


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Stages]:
    """Stages that heed SIGHUP, although tests under `nohup` ignore it and hand that down."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    found = Stages(tmp_path)
    yield found
    found.clean_up()
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_a_stage_as_ctrl_c_does(stages: Stages, number: signal.Signals, code: int):
    stage = stages.start(STAGE)
    stages.wait_for("began")
    stage.send_signal(number)
    assert stage.wait(PATIENCE_SECONDS) == code
    assert f"cut interrupted ({number.name}); finished work is kept" in stages.log()
    assert "Traceback" not in stages.log()


def test_second_signal_does_not_disturb_the_end(stages: Stages):
    slow_end = STAGE.replace("time.sleep(0.01)", "wait()").replace(
        "def main", "def wait():\n  try: time.sleep(60)\n  finally: end()\ndef main"
    )
    end = "def end():\n  Path('ending').touch(); time.sleep(1); Path('ended').touch()\n"
    stage = stages.start(slow_end.replace("def wait", f"{end}def wait"))
    stages.wait_for("began")
    stage.terminate()
    stages.wait_for("ending")
    stage.terminate()
    stage.send_signal(signal.SIGINT)
    assert stage.wait(PATIENCE_SECONDS) == 143
    assert (stages.folder / "ended").exists()


def test_stage_that_does_not_obey_is_ended(stages: Stages):
    deaf = STAGE.replace(
        "time.sleep(0.01)", "\n        try: time.sleep(60)\n        except BaseException: pass"
    )
    stage = stages.start(deaf.replace("def main", "lifetime._LONGEST_END_SECONDS = 0.5\ndef main"))
    stages.wait_for("began")
    stage.terminate()
    assert stage.wait(PATIENCE_SECONDS) == 143


def test_ignored_signals_stay_ignored(stages: Stages):
    """As `nohup` has it."""
    stage = stages.start(STAGE, before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    stages.wait_for("began")
    stage.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert stage.poll() is None
    stage.terminate()
    assert stage.wait(PATIENCE_SECONDS) == 143


@pytest.mark.parametrize("in_shell", [True, False])
def test_stage_ends_with_the_dvc_that_started_it(stages: Stages, in_shell: bool):
    dvc = stages.start_under_dvc(in_shell=in_shell, DVC_STAGE="cut")
    (stage,) = (each for each in dvc.children(recursive=True) if not each.children())
    assert len(dvc.children(recursive=True)) == 1 + in_shell
    dvc.kill()
    wait_until(lambda: is_gone(stage))
    assert "whoever started this process is gone" in stages.log()
    assert "cut interrupted (SIGTERM)" in stages.log()


def test_stage_ends_with_its_shell(stages: Stages):
    dvc = stages.start_under_dvc(in_shell=True, DVC_STAGE="cut")
    (shell,) = dvc.children()
    (stage,) = shell.children()
    shell.kill()
    wait_until(lambda: is_gone(stage))


def test_process_of_several_ends_with_torchrun(stages: Stages):
    torchrun = stages.start_under_dvc(in_shell=False, TORCHELASTIC_RUN_ID="none", RANK="0")
    (stage,) = torchrun.children()
    torchrun.kill()
    wait_until(lambda: is_gone(stage))


def test_stage_that_was_started_by_hand_outlives_its_parent(stages: Stages):
    shell = stages.start_under_dvc(in_shell=False)
    (stage,) = shell.children()
    shell.kill()
    time.sleep(2.0)
    assert not is_gone(stage)


def test_stage_whose_dvc_is_gone_before_it_looks_does_not_begin(stages: Stages):
    (stages.folder / "stage.py").write_text(STAGE)
    later = f"sleep 0.5; exec '{sys.executable}' stage.py"
    stages.start(f"import subprocess; subprocess.Popen(['/bin/sh', '-c', {later!r}])",
                 before=os.setsid, DVC_STAGE="cut").wait()  # fmt: skip
    wait_until((stages.folder / "logs/workspace/cut.log").exists)
    wait_until(lambda: "cut interrupted (SIGTERM)" in stages.log())
    assert not (stages.folder / "began").exists()


RENDER = """
from pathlib import Path
from dae_aqa.running.runtime import run_stage
def main():
    from dae_aqa.datasets.simdive.generation import generate
    from tests.datasets.simdive_options import simdive_options
    Path("began").touch()
    options = simdive_options(num_dives=240, dives_per_video=120)
    generate(options=options, videos_dir=Path("videos"), num_workers=2, progress=None)
if __name__ == "__main__":
    run_stage("cut", main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_that_render_end_with_their_stage(stages: Stages, number: signal.Signals):
    (stages.folder / "render.py").write_text(RENDER)
    path = f"{SOURCE}{os.pathsep}{SOURCE.parent}"
    stage = stages.start("import runpy; runpy.run_path('render.py', run_name='__main__')",
                         PYTHONPATH=path)  # fmt: skip
    parts = stages.folder / "videos"
    wait_until(lambda: parts.exists() and len(list(parts.iterdir())) == 2)
    workers = psutil.Process(stage.pid).children(recursive=True)
    assert len(workers) >= 2
    stage.send_signal(number)
    stage.wait(PATIENCE_SECONDS)
    wait_until(lambda: all(is_gone(worker) for worker in workers))
    assert not list(parts.glob("*.mp4"))


LOAD = """
import time
from pathlib import Path
import torch
from dae_aqa.inference.feeds import ClipFeed
class Slow(torch.utils.data.Dataset):
    def __getitem__(self, key):
        Path("began").touch()
        time.sleep(600)
if __name__ == "__main__":
    feed = ClipFeed(Slow(), layout=None, normalization=None, num_workers=2,
                    device=torch.device("cpu"))
    next(iter(feed.batches([[0], [1]], epoch=0)))
"""


def test_loader_processes_end_with_their_training(stages: Stages):
    training = stages.start(LOAD)
    stages.wait_for("began")
    wait_until(lambda: len(psutil.Process(training.pid).children()) == 2)
    workers = psutil.Process(training.pid).children()
    training.kill()
    training.wait(PATIENCE_SECONDS)
    wait_until(lambda: all(is_gone(worker) for worker in workers))
