"""The service: answers equal the scorer's; whatever else comes, it stays up and leaves nothing."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import psutil
import pytest
from tests.scored_windows import write_clip
from tests.service.conftest import TOKEN, Running, start, stop

pytestmark = pytest.mark.slow


def clip_bytes(running: Running, seed: int) -> bytes:
    return (running.clips / f"{seed}.mp4").read_bytes()


def expected(running: Running, seed: int, **options: float) -> dict[str, object]:
    answer = running.scorer.score(running.clips / f"{seed}.mp4", **options).to_dict()
    return answer | {"name": f"{seed}.mp4"}


@pytest.fixture(autouse=True)
def nothing_is_left(running: Running) -> object:
    """After every test the service answers rightly, and no temporary file is there."""
    yield
    deadline = time.monotonic() + 10
    while list(running.temporary.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [path.name for path in running.temporary.iterdir()] == []
    answer = running.post(clip_bytes(running, 0), difficulty=3.0, file_name="0.mp4")
    assert answer.status_code == 200, answer.text
    assert answer.json() == expected(running, 0, difficulty=3.0)


def test_uploads_and_paths_are_scored_as_in_python(running: Running) -> None:
    for seed in range(3):
        wanted = expected(running, seed, end=2.0, difficulty=2.0)
        options = {"end_seconds": 2.0, "difficulty": 2.0}
        uploaded = running.post(clip_bytes(running, seed), file_name=f"{seed}.mp4", **options)
        assert uploaded.json() == wanted
        named = httpx.post(
            f"{running.url}/score/path", json={"path": f"{seed}.mp4", **options}, timeout=60
        )
        assert named.json() == wanted
    with_frames = running.post(clip_bytes(running, 1), difficulty=2.0, strip=True).json()
    assert len(with_frames["strip"]) == len(with_frames["frame_numbers"]) == 11
    assert with_frames["strip"][0].startswith("data:image/jpeg;base64,/9j/")


def test_many_at_once_get_their_own_answers(running: Running) -> None:
    """A hundred at once: some are told to come back, the others are right."""
    wanted = {seed: expected(running, seed, difficulty=3.0) for seed in range(3)}

    def ask(number: int) -> tuple[int, httpx.Response]:
        seed = number % 3
        content = clip_bytes(running, seed)
        return seed, running.post(content, difficulty=3.0, file_name=f"{seed}.mp4")

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(ask, range(100)))
    right = [answer for seed, answer in answers if answer.status_code == 200]
    assert all(a.json() == wanted[seed] for seed, a in answers if a.status_code == 200)
    assert {a.status_code for _, a in answers} <= {200, 503}
    assert len(right) >= 16
    assert all(a.headers["retry-after"] for _, a in answers if a.status_code == 503)


def gif_with_a_wide_header() -> bytes:
    """A GIF of 64x64 px whose header announces 20,000 x 20,000."""
    file = io.BytesIO()
    with av.open(file, "w", format="gif") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb8"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="rgb8")))
        container.mux(stream.encode())
    content = bytearray(file.getvalue())
    content[6:10] = (20_000).to_bytes(2, "little") * 2
    return bytes(content)


def sound_alone() -> bytes:
    """An MP4 of half a second of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


BAD: dict[str, tuple[Callable[[Running], bytes], str]] = {
    "empty": (lambda _: b"", "cannot be opened"),
    "text": (lambda _: b"no video at all\n" * 20, "cannot be opened"),
    "truncated": (lambda r: clip_bytes(r, 0)[:1500], "cannot be opened|damaged|cut off"),
    "sound": (lambda _: sound_alone(), "holds no video stream"),
    "playlist": (lambda _: b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "cannot be opened"),
    "concat": (lambda _: b"ffconcat version 1.0\nfile '/etc/passwd'\n", "cannot be opened"),
    "wide": (lambda _: gif_with_a_wide_header(), "pixels"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_video_is_refused_in_words(kind: str, running: Running) -> None:
    make, words = BAD[kind]
    answer = running.post(make(running), difficulty=3.0, file_name="mine.mp4")
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert any(word in detail for word in words.split("|")), detail
    assert "mine.mp4" in detail
    assert "/tmp" not in detail
    assert str(running.temporary) not in detail


def test_a_video_of_one_frame_is_scored_and_a_long_one_refused(
    running: Running, tmp_path: Path
) -> None:
    one = write_clip(tmp_path / "one.mp4", num_frames=1)
    answer = running.post(one.read_bytes(), difficulty=3.0)
    assert answer.json()["notes"] == ["the first frame of the video is repeated 10 times"]
    long = write_clip(tmp_path / "long.mp4", num_frames=501)
    answer = running.post(long.read_bytes(), difficulty=3.0)
    assert (answer.status_code, "501 frames" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "path",
    [
        *("../model.pt", "..", "", "none.mp4", "/etc/passwd", "http://127.0.0.1/a.mp4"),
        *("list.m3u8", "out.mp4", "a\0.mp4"),
    ],
)
def test_nothing_outside_the_folder_is_read(path: str, running: Running, tmp_path: Path) -> None:
    (running.clips / "list.m3u8").write_text("0.mp4\n")
    link = running.clips / "out.mp4"
    link.unlink(missing_ok=True)
    link.symlink_to(write_clip(tmp_path / "outside.mp4"))
    asked = {"path": path, "difficulty": 3.0}
    answer = httpx.post(f"{running.url}/score/path", json=asked, timeout=60)
    assert answer.status_code == 404
    assert "is no video in the folder" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "give it, e.g. 3.2"),
        ({"difficulty": 0}, "must be a number > 0"),
        ({"difficulty": "nan"}, "must be a number > 0"),
        ({"difficulty": 3, "start_seconds": 9}, "the clip is empty"),
        ({"difficulty": 3, "end_seconds": -1}, "end_seconds must be"),
        ({"difficulty": 3, "start_frame": 2, "last_frames": 3}, "said more than once"),
        ({"difficulty": "hard"}, "valid number"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], words: str, running: Running) -> None:
    answer = running.post(clip_bytes(running, 0), **fields)
    assert answer.status_code == 422
    assert words in answer.text


def test_uploads_have_a_limit_in_bytes(running: Running) -> None:
    """By the announced length, and where none is announced by counting."""
    assert running.post(bytes(3_000_000), difficulty=3.0).status_code == 413

    def pieces() -> object:
        yield b'--x\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
        for _ in range(30):
            yield bytes(100_000)
        yield b"\r\n--x--\r\n"

    answer = httpx.post(
        f"{running.url}/score",
        content=pieces(),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        timeout=60,
    )
    assert answer.status_code == 413
    # two gigabytes are announced, and not one byte of them is waited for
    with connection(running) as client:
        client.sendall(
            b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        client.settimeout(20)
        assert b" 413 " in client.recv(1000).splitlines()[0]


def connection(running: Running) -> socket.socket:
    address = urlsplit(running.url)
    assert address.hostname is not None
    assert address.port is not None
    return socket.create_connection((address.hostname, address.port))


def test_a_slow_upload_is_given_up_and_a_cut_one_forgotten(running: Running) -> None:
    head = (
        b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    )
    with connection(running) as cut:
        cut.sendall(head + bytes(50_000))
    with connection(running) as slow:
        slow.sendall(head)
        slow.settimeout(30)
        started = time.monotonic()
        assert b" 408 " in slow.recv(1000).splitlines()[0]
        assert 4 < time.monotonic() - started < 25


def test_killed_decoders_are_replaced(running: Running) -> None:
    """Twenty kills while requests run: each gets its answer, or is told."""
    wanted = expected(running, 2, difficulty=3.0)
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(running.post, clip_bytes(running, 2), difficulty=3.0, file_name="2.mp4")
            for _ in range(40)
        ]
        killed = 0
        deadline = time.monotonic() + 200
        while killed < 20 and time.monotonic() < deadline:
            for worker in running.decoders()[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
                    killed += 1
            time.sleep(0.3)
        answers = [each.result() for each in asked]
    assert killed == 20
    for answer in answers:
        if answer.status_code == 200:
            assert answer.json() == wanted
        else:
            assert answer.status_code == 422
            assert "decoding ended the process" in answer.json()["detail"]
    assert running.post(clip_bytes(running, 2), difficulty=3.0).status_code == 200


def test_metrics_model_and_pages_are_there(running: Running) -> None:
    figures = httpx.get(f"{running.url}/metrics").text
    assert 'dae_aqa_answers_total{path="/score",status="200"}' in figures
    assert "dae_aqa_requests_in_flight 0.0" in figures
    assert httpx.get(f"{running.url}/model").json() == running.scorer.describe()
    page = httpx.get(f"{running.url}/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    api = httpx.get(f"{running.url}/docs").text
    assert "https://" not in api
    for name in ("page.css", "page.js", "icon.svg", "openapi.json", "swagger/swagger-ui-bundle.js"):
        assert httpx.get(f"{running.url}/{name}").status_code == 200, name
    for name in ("none", "app.py", "page/../app.py", "swagger/../../x"):
        assert httpx.get(f"{running.url}/{name}").status_code == 404, name


def test_a_token_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    service = start(tmp_path / "service", "--token-file", str(tmp_path / "token"), "--workers", "1")
    try:
        content = clip_bytes(service, 0)
        assert service.post(content, difficulty=3.0).status_code == 401
        for given in ("Bearer wrong", TOKEN, f"bearer {TOKEN}x"):
            answer = httpx.get(f"{service.url}/model", headers={"Authorization": given})
            assert answer.status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{service.url}/model", headers=right).status_code == 200
        assert httpx.get(f"{service.url}/").status_code == 200

        # what runs when the service is asked to end is finished
        def ask(_: int) -> int | None:
            try:
                answer = httpx.post(
                    f"{service.url}/score",
                    files={"video": content},
                    data={"difficulty": "3"},
                    headers=right,
                    timeout=60,
                )
            except httpx.ConnectError:  # it came too late
                return None
            return answer.status_code

        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(ask, number) for number in range(8)]
            figures = ""
            while not re.search(r"in_flight [1-8]\.0", figures) and not asked[0].done():
                figures = httpx.get(f"{service.url}/metrics", headers=right, timeout=60).text
            stop(service)
            statuses = {each.result() for each in asked}
        assert 200 in statuses
        assert statuses <= {200, None}
    finally:
        service.process.kill()
