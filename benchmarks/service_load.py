"""What the service costs: requests by many clients beside the batched scorer in Python.

    dvc repro                                        # model and videos, once
    python benchmarks/service_load.py [--requests 1000] [--clients 8]

Starts `dae-aqa serve` on the loopback address, one decoder for each core. The clips are stretches
of test dives in files of their own, so that no side reads a whole broadcast. First the scorer
scores all of them by `score_many`, then the clients post them, then the scorer again. Every answer
is compared with the scorer's. The added latency is that of one client alone, less the scorer's own
time for the same clip, measured in turn. Writes benchmarks/results/service_load.json.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import httpx
import psutil

from _common import REPO_ROOT, markdown_table, write_result
from dae_aqa.scorer import Clip, Scorer
from dae_aqa.tables.annotations import read_annotations

NUM_CLIPS = 20
NUM_IN_PYTHON = 300  # clips that the scorer scores before the clients, and again after them
DIFFICULTY = 3.0


def main() -> None:
    """Measure, print the figures and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=REPO_ROOT / "models/model.pt")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clips = cut_clips(Path(name))
        scorer = Scorer.load(args.model, device="cpu")
        numbers = [number % len(clips) for number in range(args.requests)]
        beside = [clips[number] for number in numbers[:NUM_IN_PYTHON]]
        before, wanted = score_all(scorer, beside)
        service, url = start(args.model)
        try:
            result = load(service, url, clips, numbers, wanted, scorer, num_clients=args.clients)
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(timeout=60)
        after, _ = score_all(scorer, beside)
    python = len(beside) / ((before + after) / 2)
    result |= {
        "num_requests": args.requests,
        "num_clients": args.clients,
        "scorer_clips_per_second": python,
        "service_over_scorer": result["requests_per_second"] / python,
    }
    write_result("service_load", {"rows": [result]})
    print(markdown_table(["figure", "value"], [list(item) for item in result.items()]))


def cut_clips(folder: Path) -> list[Path]:
    """Write stretches of test dives as files of their own, the packets as they are."""
    table = read_annotations(REPO_ROOT / "data/annotations.csv").query("split == 'test'")
    clips = []
    for row in table.head(NUM_CLIPS).itertuples():
        source = next((REPO_ROOT / "data/videos").glob(f"{row.video_id}.*"))
        target = folder / f"{row.sample_id}.mp4"
        cut(source, target, first=int(row.end_frame) - 130, last=int(row.end_frame))
        clips.append(target)
    return clips


def cut(source: Path, target: Path, *, first: int, last: int) -> None:
    """Copy the packets from the key frame before `first` to the frame `last`."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        assert stream.average_rate is not None
        assert stream.time_base is not None
        per_frame = 1 / (stream.average_rate * stream.time_base)
        copy = new.add_stream_from_template(stream)
        old.seek(max(0, int(first * per_frame)), stream=stream)
        start = None
        for packet in old.demux(stream):
            if packet.pts is None or packet.dts is None or packet.pts > last * per_frame:
                continue
            start = packet.dts if start is None else start
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            packet.stream = copy
            new.mux(packet)


def score_all(scorer: Scorer, videos: list[Path]) -> tuple[float, dict[str, dict[str, Any]]]:
    """Return the seconds of `score_many` for all, and the answers by name."""
    started = time.perf_counter()
    answers = {}
    clips = (Clip(video=video, difficulty=DIFFICULTY) for video in videos)
    for outcome in scorer.score_many(clips):
        assert outcome.score is not None, outcome.message
        answers[outcome.score.name] = outcome.score.to_dict()
    return time.perf_counter() - started, answers


def start(model: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the service and return it with its address, when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dae_aqa.cli.main", "serve", str(model), "--port", str(port)]
    service = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(REPO_ROOT / "src")},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            httpx.get(f"{url}/health", timeout=5)
            return service, url
        except httpx.TransportError:
            assert service.poll() is None
            time.sleep(0.2)


def load(
    service: subprocess.Popen[bytes],
    url: str,
    clips: list[Path],
    numbers: list[int],
    wanted: dict[str, dict[str, Any]],
    scorer: Scorer,
    *,
    num_clients: int,
) -> dict[str, Any]:
    """Return what the clients saw, and the service's memory."""
    contents = [clip.read_bytes() for clip in clips]
    client = httpx.Client(timeout=300)  # to make one costs more than a request

    def post(number: int) -> bool:
        files = {"video": (clips[number].name, contents[number])}
        answer = client.post(f"{url}/score", files=files, data={"difficulty": "3"})
        return answer.status_code == 200 and answer.json() == wanted[clips[number].name]

    for number in range(len(clips)):  # decoders and network are warm afterwards
        assert post(number)
    memory_before = memory_mb(service)
    started = time.perf_counter()
    with ThreadPoolExecutor(num_clients) as pool:
        right = sum(pool.map(post, numbers))
    seconds = time.perf_counter() - started
    memory_after = memory_mb(service)
    own, alone = [], []
    for number, clip in [*enumerate(clips)] * 2:  # in turn, since the machine is shared
        own.append(timed(lambda clip=clip: scorer.score(clip, difficulty=DIFFICULTY)))
        alone.append(timed(lambda number=number: post(number)))
    added = [one - other for one, other in zip(alone, own, strict=True)]
    return {
        "num_right": right,
        "requests_per_second": len(numbers) / seconds,
        "scorer_milliseconds": 1000 * statistics.median(own),
        "alone_milliseconds": 1000 * statistics.median(alone),
        "added_milliseconds": 1000 * statistics.median(added),
        "memory_before_mb": memory_before,
        "memory_after_mb": memory_after,
    }


def memory_mb(service: subprocess.Popen[bytes]) -> float:
    """Return the memory of the service and its decoders."""
    processes = [psutil.Process(service.pid)]
    processes += processes[0].children(recursive=True)
    return sum(each.memory_info().rss for each in processes) / 1e6


def timed(call: Any) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
