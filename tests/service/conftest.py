"""A service with a small model in a process of its own, as `dae-aqa serve` starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from tests.scored_windows import small_trained_model, write_clip

from dae_aqa import Scorer

TOKEN = "a-token-for-tests"


@dataclass
class Running:
    """A service that runs: its address, its process, its folders, and a scorer to compare with."""

    url: str
    process: subprocess.Popen[str]
    clips: Path
    temporary: Path
    scorer: Scorer

    def decoders(self) -> list[psutil.Process]:
        """Return the decoding processes."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it has just ended
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def post(self, content: bytes, **fields: object) -> httpx.Response:
        """Upload a clip."""
        name = str(fields.pop("file_name", "clip.mp4"))
        data = {key: str(value) for key, value in fields.items()}
        return httpx.post(
            f"{self.url}/score", files={"video": (name, content)}, data=data, timeout=120
        )


def start(folder: Path, *options: str) -> Running:
    """Start `dae-aqa serve` on a free port and wait until it answers."""
    clips, temporary = folder / "clips", folder / "tmp"
    temporary.mkdir(parents=True)
    small_trained_model().save(folder / "model.pt")
    for seed in range(3):
        write_clip(clips / f"{seed}.mp4", seed=seed)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dae_aqa.cli.main", "serve", str(folder / "model.pt")]
    command += ["--port", str(port), "--videos-dir", str(clips), "--device", "cpu", *options]
    process = subprocess.Popen(
        command,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(
        url=f"http://127.0.0.1:{port}",
        process=process,
        clips=clips,
        temporary=temporary,
        scorer=Scorer.load(folder / "model.pt", device="cpu"),
    )
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{running.url}/health", timeout=5)
            return running
        except httpx.TransportError:
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            time.sleep(0.2)
    raise AssertionError("the service does not answer")


def stop(running: Running) -> None:
    """End the service; it must end in order, and say nothing of an error."""
    running.process.send_signal(signal.SIGTERM)
    output, _ = running.process.communicate(timeout=60)
    assert running.process.returncode == 0, output
    assert not re.search("Traceback|ERROR", output), output


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = start(
        tmp_path_factory.mktemp("service"),
        *("--workers", "2", "--max-mb", "2", "--max-in-flight", "16"),
        *("--upload-seconds", "6", "--max-frames", "500", "--max-pixels", "1000000"),
    )
    yield service
    stop(service)
