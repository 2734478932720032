import logging
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from loopback import Answer, Server, serve, video
from mtl_release import write_release
from tests.half_written import half_written

from dae_aqa.datasets import video_fetch
from dae_aqa.datasets.mtl_aqa.download import load
from dae_aqa.datasets.mtl_aqa.options import MtlAqaOptions
from dae_aqa.datasets.mtl_aqa.videos import read_addresses
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.datasets.video_fetch import VideoCache
from dae_aqa.errors import AnnotationError, DownloadError, ParamsError
from dae_aqa.options import parse_options
from dae_aqa.running import retries
from dae_aqa.tables.dataset import DatasetTables

FIRST = bytes(range(251)) * 1200  # what the "videos" hold: yt-dlp does not look inside
SECOND = bytes(reversed(range(241))) * 1100
FORMAT = "bestvideo[vcodec^=avc1][fps<=30]/best[fps<=?30]"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_PAUSE_SECONDS", 0.0)


class Project:
    """A release of two broadcasts, the folders of a pipeline, and a download with few arguments."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.release = write_release(root / "release")
        self.videos, self.cache, self.own = root / "videos", root / "cache", root / "own"
        self.list = root / "list.csv"

    def download(self, **changes: object) -> DatasetTables:
        options = {
            "annotations_source": str(self.release),
            "frames_dir": None,
            "released_window": False,
            "videos_dir": str(self.own) if self.own.exists() else None,
            "video_list": str(self.list) if self.list.exists() else None,
            "video_format": FORMAT,
            "frame_numbering": "reference",
            "scoring_rule": "diving",
        }
        fetching = {
            "num_workers": 1,
            "num_retries": 0,
            "timeout_seconds": 5.0,
            "allow_missing": False,
        }
        for name, value in changes.items():
            (options if name in options else fetching)[name] = value
        return load(
            parse_options(MtlAqaOptions, options, source="datasets.mtl_aqa"),
            parse_options(DownloadOptions, fetching, source="download"),
            self.videos,
            self.cache,
        )

    def list_videos(self, addresses: dict[int, str]) -> None:
        lines = [f"{number},{address}\n" for number, address in addresses.items()]
        self.list.write_text("video_id,url\n" + "".join(lines))

    def own_video(self, name: str, content: bytes) -> Path:
        self.own.mkdir(exist_ok=True)
        (self.own / name).write_bytes(content)
        return self.own / name

    def listing(self) -> dict[str, bytes]:
        if not self.videos.exists():
            return {}
        return {path.name: path.read_bytes() for path in self.videos.iterdir()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def two_videos(project: Project, server: Server) -> Project:
    server.answers |= {"/a.mp4": video(FIRST), "/b.mp4": video(SECOND)}
    project.list_videos({1: f"{server.address}/a.mp4", 2: f"{server.address}/b.mp4"})
    return project


def test_own_videos_are_copied_and_left_alone(project: Project, server: Server) -> None:
    first = project.own_video("1.mp4", FIRST)
    project.own_video("02.MKV", SECOND)
    project.own_video("03.mp4", b"of no sample")
    project.own_video("02.txt", b"no video")
    project.own_video("2b.mp4", b"no number")
    first.chmod(0o444)
    tables = project.download()
    assert project.listing() == {"01.mp4": FIRST, "02.mkv": SECOND}
    assert list(tables.annotations["sample_id"]) == ["01_001", "01_002", "02_001", "02_002"]
    assert list(tables.truth.columns) == ["sample_id"]
    assert len(tables.truth) == len(tables.missing_videos) == len(tables.notes) == 0
    assert first.read_bytes() == FIRST


def test_videos_come_by_yt_dlp_and_never_twice(two_videos: Project, server: Server) -> None:
    tables = two_videos.download()
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": SECOND}
    assert len(tables.annotations) == 4
    num_requests = len(server.requests)
    assert num_requests > 0
    shutil.rmtree(two_videos.videos)  # as DVC does before it runs the stage
    again = two_videos.download()
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": SECOND}
    assert len(server.requests) == num_requests
    pd.testing.assert_frame_equal(again.annotations, tables.annotations)


def test_another_address_or_format_is_another_video(two_videos: Project, server: Server) -> None:
    two_videos.download()
    server.answers["/c.mp4"] = video(b"c" * 5000)
    two_videos.list_videos({1: f"{server.address}/c.mp4", 2: f"{server.address}/b.mp4"})
    two_videos.download()
    assert two_videos.listing() == {"01.mp4": b"c" * 5000, "02.mp4": SECOND}
    before = server.count("/b.mp4")
    two_videos.download(video_format="best")
    assert server.count("/b.mp4") > before


def test_the_own_folder_goes_before_the_web(two_videos: Project, server: Server) -> None:
    two_videos.own_video("02.mp4", b"mine")
    two_videos.download()
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": b"mine"}
    assert server.count("/b.mp4") == 0


def test_a_missing_video_is_listed_and_nothing_is_lost(two_videos: Project, server: Server) -> None:
    two_videos.videos.mkdir()
    (two_videos.videos / "01.mp4").write_bytes(b"earlier")
    del server.answers["/a.mp4"]
    with pytest.raises(DownloadError, match="1 of 2 videos are missing, with 2 s") as caught:
        two_videos.download()
    message = str(caught.value)
    for part in (
        f"01, 2 samples: {server.address}/a.mp4: ",
        "HTTP Error 404",
        "named by video number (01.mp4",
        "set datasets.mtl_aqa.videos_dir",
        "download.allow_missing",
    ):
        assert part in message
    assert two_videos.listing() == {"01.mp4": b"earlier"}
    num_requests = server.count("/b.mp4")
    two_videos.own_video("01.mp4", FIRST)  # as the message advises
    two_videos.download()
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": SECOND}
    assert server.count("/b.mp4") == num_requests


def test_samples_of_missing_videos_are_excluded_and_counted(
    two_videos: Project, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    del server.answers["/b.mp4"]
    with caplog.at_level(logging.WARNING, logger="dae_aqa"):
        tables = two_videos.download(allow_missing=True)
    assert "1 of 2 videos are missing" in caplog.text
    assert "Their samples are left out" in caplog.text
    assert "set download.allow_missing" not in caplog.text
    assert list(tables.annotations["sample_id"]) == ["01_001", "01_002"]
    assert list(tables.notes["sample_id"]) == ["02_001", "02_002"]
    assert set(tables.notes["kind"]) == {"excluded_video_missing"}
    (missing,) = tables.missing_videos.to_dict("records")
    assert (missing["video_id"], missing["num_samples"]) == ("02", 2)
    assert missing["address"] == f"{server.address}/b.mp4"
    assert "404" in missing["reason"]


def test_without_any_video_there_is_no_dataset(project: Project) -> None:
    project.list_videos({})
    with pytest.raises(DownloadError, match="2 of 2 videos are missing, with 4 samples"):
        project.download(allow_missing=True)


def resumed_at(server: Server) -> list[int]:
    """Return the first byte of every request for the rest of a.mp4."""
    ranges = [headers.get("Range") for path, headers in server.requests if path == "/a.mp4"]
    return [int(text.removeprefix("bytes=").rstrip("-")) for text in ranges if text]


def test_a_download_that_breaks_off_is_resumed_within_a_run(
    two_videos: Project, server: Server
) -> None:
    server.answers["/a.mp4"] = video(FIRST, sent_first=100_000)
    two_videos.download(num_retries=5)
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": SECOND}
    starts = resumed_at(server)
    assert len(starts) >= 2
    assert 0 < starts[0] < starts[1] < len(FIRST)


def test_a_download_that_breaks_off_is_resumed_by_the_next_run(
    two_videos: Project, server: Server
) -> None:
    server.answers["/a.mp4"] = video(FIRST, sent_first=100_000)
    with pytest.raises(DownloadError, match="1 of 2 videos are missing"):
        two_videos.download()
    assert two_videos.listing() == {}
    server.requests.clear()
    server.answers["/a.mp4"] = video(FIRST)
    two_videos.download()
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": SECOND}
    (start,) = resumed_at(server)
    assert 0 < start <= 100_000
    assert server.count("/b.mp4") == 0


def test_a_server_without_ranges_sends_all_again(two_videos: Project, server: Server) -> None:
    kind = {"Content-Type": "video/mp4"}
    server.answers["/a.mp4"] = lambda _, n: Answer(
        FIRST, headers=kind, sent=9000 if n < 3 else None
    )
    two_videos.download(num_retries=2)
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": SECOND}


def test_a_host_that_does_not_answer_is_asked_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    fetch_video = VideoCache.fetch

    def counted(self: VideoCache, **arguments: str) -> Path:
        asked.append(arguments["address"])
        return fetch_video(self, **arguments)

    monkeypatch.setattr(VideoCache, "fetch", counted)
    with pytest.raises(DownloadError, match="2 of 2 videos") as caught:
        project.download()  # the release's own addresses lead to a closed port
    assert asked == ["http://127.0.0.1:9/1.mp4"]
    assert "Connection refused" in str(caught.value)
    assert "127.0.0.1:9 does not answer, as seen with an earlier video" in str(caught.value)


def test_a_look_up_that_breaks_off_is_tried_again(
    two_videos: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = video(FIRST)
    drop = Answer(status=0)
    server.answers["/a.mp4"] = lambda headers, n: drop if n < 3 else whole(headers, n)
    with pytest.raises(DownloadError, match=r"a\.mp4: .* (reset|aborted|closed)"):
        two_videos.download(num_retries=0)
    server.requests.clear()
    two_videos.download(num_retries=2)
    assert two_videos.listing() == {"01.mp4": FIRST, "02.mp4": SECOND}


def test_of_two_that_fetch_one_video_at_once_the_second_waits(
    tmp_path: Path, server: Server
) -> None:
    both_ask = threading.Barrier(2)
    server.answers["/a.mp4"] = video(FIRST)
    cache = VideoCache(folder=tmp_path, video_format=FORMAT, num_retries=0, timeout_seconds=5)
    cache.fetch(video_id="1", address=f"{server.address}/a.mp4")
    num_once = server.count("/a.mp4")
    found = []

    def fetch_other() -> None:
        both_ask.wait()
        found.append(cache.fetch(video_id="2", address=f"{server.address}/b.mp4").read_bytes())

    server.answers["/b.mp4"] = video(SECOND)
    threads = [threading.Thread(target=fetch_other) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [SECOND, SECOND]
    assert server.count("/b.mp4") == num_once


def test_two_own_files_for_one_video_are_no_choice(project: Project) -> None:
    for name in ("1.mp4", "01.mkv", "02.mp4"):
        project.own_video(name, FIRST)
    with pytest.raises(DownloadError, match=r"01, 2 samples: .*01\.mkv, 1\.mp4 all stand for this"):
        project.download()
    assert project.listing() == {}


def test_no_own_folder(project: Project) -> None:
    with pytest.raises(DownloadError, match=r"videos_dir: no folder .*named by video number"):
        project.download(videos_dir=str(project.root / "none"))


def test_a_feed_of_several_videos_is_refused(two_videos: Project, server: Server) -> None:
    item = f"<item><title>t</title><link>{server.address}/b.mp4</link></item>"
    channel = f"<channel><title>f</title>{item * 2}</channel>"
    feed = f'<?xml version="1.0"?><rss version="2.0">{channel}</rss>'
    server.answers["/a.mp4"] = Answer(feed.encode(), headers={"Content-Type": "text/xml"})
    with pytest.raises(DownloadError, match=r"/a\.mp4: expected one video, got a playlist"):
        two_videos.download()


@pytest.mark.parametrize("name", ["/x/..%2F..%2F..%2Fevil.mp4", "/%00%2Fetc%2Fevil.mp4?a=/../b.sh"])
def test_a_name_from_outside_is_never_used(two_videos: Project, server: Server, name: str) -> None:
    kind = {
        "Content-Type": "video/mp4",
        "Content-Disposition": 'attachment; filename="../../evil.sh"',
    }
    server.answers[name] = Answer(FIRST, headers=kind)
    two_videos.list_videos({1: f"{server.address}{name}", 2: f"{server.address}/b.mp4"})
    before = {path for path in two_videos.root.rglob("*") if path.is_file()}
    two_videos.download()
    new = {path for path in two_videos.root.rglob("*") if path.is_file()} - before
    assert all(
        two_videos.cache in path.parents or two_videos.videos in path.parents for path in new
    )
    assert not [path for path in new if "evil" in path.name]
    assert two_videos.listing()["01.mp4"] == FIRST


class TestLists:
    def test_bad_rows_are_all_named(self, tmp_path: Path) -> None:
        path = tmp_path / "list.csv"
        path.write_text("video_id,url\n1,http://h/a\nx,http://h/b\n3,file:///etc/passwd\n4\n")
        with pytest.raises(AnnotationError, match=r"list\.csv: 3 bad row\(s\)") as caught:
            read_addresses(video_list=path)
        assert "line 3: expected a video number, got 'x'" in str(caught.value)
        assert "line 4: 'file:///etc/passwd' is not an address" in str(caught.value)
        assert "line 5: '' is not an address" in str(caught.value)

    def test_wrong_header(self, tmp_path: Path) -> None:
        (tmp_path / "list.csv").write_text("number;url\n1;http://h/a\n")
        with pytest.raises(
            AnnotationError, match=r"expected the columns video_id,url, got number;url"
        ):
            read_addresses(video_list=tmp_path / "list.csv")

    def test_no_such_list(self, tmp_path: Path) -> None:
        for name in ("none.csv", "none.xlsx"):
            with pytest.raises(AnnotationError, match=rf"none\.{name[5:]}: "):
                read_addresses(video_list=tmp_path / name)


class TestReleaseFromTheWeb:
    def serve_release(self, project: Project, server: Server) -> str:
        for path in project.release.rglob("*.*"):
            name = path.relative_to(project.release).as_posix()
            server.answers[f"/at/commit/{name}"] = Answer(path.read_bytes())
        return f"{server.address}/at/commit"

    def test_its_files_are_fetched_once(self, two_videos: Project, server: Server) -> None:
        source = self.serve_release(two_videos, server)
        tables = two_videos.download(annotations_source=source)
        assert len(tables.annotations) == 4
        num_requests = len(server.requests)
        two_videos.download(annotations_source=f"{source}")
        assert len(server.requests) == num_requests

    def test_what_a_kill_left_of_it_is_removed(self, two_videos: Project, server: Server) -> None:
        left = half_written(two_videos.cache / "release-0123456789abcdef")
        two_videos.download(annotations_source=self.serve_release(two_videos, server))
        assert not left.exists()

    def test_half_a_release_is_none(self, two_videos: Project, server: Server) -> None:
        source = self.serve_release(two_videos, server)
        workbook = server.answers.pop("/at/commit/Raw_Annotations/02.xlsx")
        with pytest.raises(
            DownloadError, match=r"02\.xlsx: download failed after 1 tries: HTTP 404"
        ):
            two_videos.download(annotations_source=source)
        assert two_videos.listing() == {}
        server.answers["/at/commit/Raw_Annotations/02.xlsx"] = workbook
        assert len(two_videos.download(annotations_source=source).annotations) == 4

    def test_a_zip_archive_of_the_repository(self, two_videos: Project, server: Server) -> None:
        archive = two_videos.root / "r.zip"
        with zipfile.ZipFile(archive, "w") as content:
            for path in two_videos.release.rglob("*.*"):
                name = path.relative_to(two_videos.release).as_posix()
                content.write(path, f"MTL-AQA-main/MTL-AQA_dataset_release/{name}")
            content.writestr("../../evil", b"!")
        server.answers["/main.zip"] = Answer(archive.read_bytes())
        tables = two_videos.download(annotations_source=f"{server.address}/main.zip")
        assert len(tables.annotations) == 4
        assert not list(two_videos.root.rglob("evil"))

    def test_no_such_folder(self, project: Project) -> None:
        with pytest.raises(AnnotationError, match=r"annotations_source: no folder '.*/none'"):
            project.download(annotations_source="none")

    def test_no_such_protocol(self, project: Project) -> None:
        with pytest.raises(ParamsError, match=r"annotations_source: 'file:///etc'; expected a fol"):
            project.download(annotations_source="file:///etc")


class TestYoutubeSupport:
    def test_what_lacks_is_said_before_and_after(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def private(self: VideoCache, **arguments: str) -> Path:
            raise DownloadError(f"{arguments['address']}: Private video. Sign in")

        monkeypatch.setattr(VideoCache, "fetch", private)
        monkeypatch.setattr(video_fetch, "find_js_runtimes", list)
        project.list_videos({1: "https://www.youtube.com/watch?v=a", 2: "https://youtu.be/b"})
        with (
            caplog.at_level(logging.INFO, logger="dae_aqa"),
            pytest.raises(DownloadError, match="Private video") as caught,
        ):
            project.download()
        assert "a JavaScript runtime (install Deno" in caplog.text
        assert "a JavaScript runtime (install Deno" in str(caught.value)

    def test_nothing_lacks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(video_fetch, "find_js_runtimes", lambda: ["node"])
        monkeypatch.setattr(video_fetch.importlib.util, "find_spec", lambda _: object())
        assert video_fetch.youtube_support() == ""

    def test_a_runtime_on_the_path_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert video_fetch.find_js_runtimes() == []
        runtime = tmp_path / "deno"
        runtime.write_text("#!/bin/sh\necho 'deno 9.9.9 (stable)'\n")
        runtime.chmod(0o755)
        assert video_fetch.find_js_runtimes() == ["deno"]
        runtime.write_text("#!/bin/sh\necho 'deno 1.0.0 (stable)'\n")
        assert video_fetch.find_js_runtimes() == []

    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("https://www.youtube.com/watch?v=a", True),
            ("https://youtu.be/a", True),
            ("https://notyoutube.com/a", False),
            ("https://example.org/youtube.com", False),
        ],
    )
    def test_is_youtube(self, address: str, expected: bool) -> None:
        assert video_fetch.is_youtube(address) is expected
