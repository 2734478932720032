import io
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Answer, Server, serve

from dae_aqa.datasets import fetch
from dae_aqa.errors import DownloadError

BODY = bytes(range(256)) * 40


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses before retries instead of making them."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def get(server: Server, path: Path, *, name: str = "/file", num_retries: int = 0) -> None:
    fetch.fetch_file(
        address=f"{server.address}{name}", path=path, num_retries=num_retries, timeout_seconds=2
    )


def test_file_arrives_whole(server: Server, tmp_path: Path) -> None:
    server.answers["/file"] = Answer(BODY)
    get(server, tmp_path / "new folder" / "file")
    assert (tmp_path / "new folder" / "file").read_bytes() == BODY
    assert names_in(tmp_path / "new folder") == ["file"]


def test_not_found_is_final(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/file: download failed after 1 tries: HTTP 404"):
        get(server, tmp_path / "file", num_retries=3)
    assert server.count("/file") == 1
    assert names_in(tmp_path) == []


def test_busy_server_is_tried_again_with_growing_pauses(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    server.answers["/file"] = lambda _, n: Answer(status=503) if n < 4 else Answer(BODY)
    get(server, tmp_path / "file", num_retries=3)
    assert (tmp_path / "file").read_bytes() == BODY
    assert waits == [1.0, 2.0, 4.0]


def test_a_body_cut_short_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.answers["/file"] = lambda _, n: Answer(BODY, sent=100 if n == 1 else None)
    get(server, tmp_path / "file", num_retries=1)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_body_that_stays_short_leaves_the_old_file(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    server.answers["/file"] = Answer(BODY, sent=100)
    with pytest.raises(DownloadError, match=r"after 3 tries: got 100 of 10240 bytes"):
        get(server, path, num_retries=2)
    assert server.count("/file") == 3
    assert path.read_bytes() == b"earlier"
    assert names_in(tmp_path) == ["file"]


def test_a_silent_server_times_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(DownloadError, match="timed out"):
            fetch.fetch_file(
                address=f"http://127.0.0.1:{silent.getsockname()[1]}/file",
                path=tmp_path / "file",
                num_retries=0,
                timeout_seconds=0.2,
            )
        assert time.monotonic() - started < 5


def test_a_redirect_to_a_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers["/file"] = Answer(status=302, headers={"Location": "file:///etc/passwd"})
    with pytest.raises(DownloadError, match=r"/file: download failed"):
        get(server, tmp_path / "file")
    assert names_in(tmp_path) == []


def test_a_redirect_to_ftp_is_not_followed(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ftp:
        ftp.setblocking(False)
        location = f"ftp://127.0.0.1:{ftp.getsockname()[1]}/file"
        server.answers["/file"] = Answer(status=302, headers={"Location": location})
        with pytest.raises(DownloadError, match="unknown url type: ftp"):
            get(server, tmp_path / "file")
        with pytest.raises(BlockingIOError, match="temporarily unavailable"):
            ftp.accept()


def test_a_redirect_within_http_is_followed(server: Server, tmp_path: Path) -> None:
    server.answers["/file"] = Answer(status=302, headers={"Location": "/other"})
    server.answers["/other"] = Answer(BODY)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "/etc/passwd", "ftp://host/x", "http://", "", "http://[::1", "data:,x"],
)
def test_only_http_addresses_are_admitted(address: str) -> None:
    with pytest.raises(DownloadError, match="is not an address to download from"):
        fetch.check_address(address)


def test_http_addresses_are_admitted() -> None:
    for address in ("http://127.0.0.1:80/a.mp4", "https://www.youtube.com/watch?v=abc"):
        assert fetch.check_address(address) == address


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("root", ["", "Repo-main/", "a/b/"])
def test_members_are_found_below_any_folder(tmp_path: Path, root: str) -> None:
    members = {f"{root}x/a.txt": b"A", f"{root}b.txt": b"B", f"{root}other": b"no", "b.txt2": b""}
    archive = write_zip(tmp_path / "r.zip", members)
    fetch.extract_members(archive=archive, names=["x/a.txt", "b.txt"], folder=tmp_path / "out")
    found = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes()
        for p in (tmp_path / "out").rglob("*.txt")
    }
    assert found == {"x/a.txt": b"A", "b.txt": b"B"}


def test_an_archive_writes_nowhere_else(tmp_path: Path) -> None:
    members = {"x/a.txt": b"A", "../evil": b"!", "/tmp/dae_aqa_evil": b"!", "x/../../evil2": b"!"}
    archive = write_zip(tmp_path / "r.zip", members)
    folder = tmp_path / "deep" / "out"
    fetch.extract_members(archive=archive, names=["x/a.txt"], folder=folder)
    written = {p for p in tmp_path.rglob("*") if p.is_file()} - {archive}
    assert written == {folder / "x" / "a.txt"}
    assert not Path("/tmp/dae_aqa_evil").exists()


def test_faulty_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "r.zip", {"a": BODY, "b": BODY})
    with pytest.raises(DownloadError, match="expected a file none in the archive"):
        fetch.extract_members(archive=archive, names=["none"], folder=tmp_path / "out")
    with pytest.raises(DownloadError, match="expected a file none in the archive"):
        fetch.extract_members(archive=archive, names=["a", "none"], folder=tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_MAX_MEMBER_BYTES", 100)
        with pytest.raises(DownloadError, match=r"b unpacks to 10240 bytes, more than the 100"):
            fetch.extract_members(archive=archive, names=["b"], folder=tmp_path / "big")
    (tmp_path / "not.zip").write_bytes(BODY)
    with pytest.raises(DownloadError, match=r"not\.zip: not a readable zip archive"):
        fetch.extract_members(archive=tmp_path / "not.zip", names=["a"], folder=tmp_path / "out")


def test_a_damaged_member_is_not_written(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", BODY)
    content = bytearray(buffer.getvalue())
    content[2000] ^= 1
    (tmp_path / "r.zip").write_bytes(content)
    with pytest.raises(DownloadError, match="Bad CRC-32"):
        fetch.extract_members(archive=tmp_path / "r.zip", names=["a"], folder=tmp_path / "out")
    assert names_in(tmp_path / "out") == []
