"""One broadcast held as video, as its frames and as the frames of each dive: the same windows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mtl_release import dive, write_pickle, write_release
from tests.numbered_videos import MAKERS, all_frames, pixels, read_number

from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.mtl_aqa.options import MtlAqaOptions
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.errors import AnnotationError, DownloadError, VideoError
from dae_aqa.extraction.extract import ExtractionReport, extract_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.packs.store import PackedSample
from dae_aqa.tables.sources import changed_sources, write_sources

LAST_FRAMES = {"01_001": 180, "01_002": 230, "01_003": 280}  # counted from 1, as in the release
NUM_FRAMES = 300


class Project:
    """A broadcast of three dives in all layouts, the pickles, and what the two stages make."""

    def __init__(self, root: Path, video: Path) -> None:
        self.root, self.info = root, root / "held" / "info"
        entries = {(1, n + 1): dive(e - 50, e) for n, e in enumerate(LAST_FRAMES.values())}
        write_pickle(self.info / "augmented_final_annotations_dict.pkl", entries)
        write_pickle(self.info / "train_split_0.pkl", [(1, 1), (1, 2)])
        write_pickle(self.info / "test_split_0.pkl", [(1, 3)])
        self.own = root / "own"
        self.own.mkdir()
        shutil.copy(video, self.own / f"01{video.suffix}")
        self.frames = root / "held" / "frames"
        (self.frames / "01").mkdir(parents=True)
        for number, frame in all_frames(video):
            coded = cv2.imencode(".png", pixels(frame)[..., ::-1])[1]
            (self.frames / "01" / f"{number + 1:06d}.png").write_bytes(coded.tobytes())

    def by_dive(self, *, start: int | None) -> None:
        """Hold a folder for each dive instead; `start` is its first number, None: as before."""
        for name, last in LAST_FRAMES.items():
            folder = self.frames / f"01_{int(name[3:]):02d}"
            folder.mkdir()
            for place, number in enumerate(range(last - 105, last + 4)):
                target = number if start is None else start + place
                source = self.frames / "01" / f"{number:06d}.png"
                shutil.copy(source, folder / f"{target:05d}.png")
        shutil.rmtree(self.frames / "01")

    def image(self, frame: int) -> Path:
        """Return the image of a frame of the second dive, counted from 0, in the broadcast."""
        return self.frames / "01" / f"{frame + 1:06d}.png"

    def options(self, **changes: object) -> MtlAqaOptions:
        values: dict[str, Any] = {
            "annotations_source": None,
            "frames_dir": str(self.root / "held"),
            "released_window": False,
            "videos_dir": None,
            "video_list": None,
            "video_format": "best",
            "frame_numbering": "decoded",
            "scoring_rule": "diving",
        }
        return MtlAqaOptions(**values | changes)

    def download(self, *, allow_missing: bool = False, **changes: object) -> Any:
        videos = self.root / "videos"
        shutil.rmtree(videos, ignore_errors=True)
        videos.mkdir()
        fetching = DownloadOptions(
            num_workers=1, num_retries=0, timeout_seconds=5.0, allow_missing=allow_missing
        )
        return DATASETS["mtl_aqa"].load(
            self.options(**changes), fetching, videos, self.root / "cache"
        )

    def extract(self, *, damaged: str = "error", **changes: object) -> ExtractionReport:
        tables = self.download(**changes)
        root = self.options(**changes).frames_root
        return extract_samples(
            annotations=tables.annotations,
            videos_dir=self.root / "videos",
            frames_dir=self.root / "packs",
            cache_dir=self.root / "work",
            options=ExtractOptions(
                num_frames=103,
                margin_frames=3,
                window="end",
                numbering="decoded",
                width=160,
                height=96,
                resize_filter="area",
                image_format="png",
                jpeg_quality=90,
                early_end="error",
                damaged=damaged,
                hwaccel=None,
                num_workers=2,
            ),
            frames_root=None if root is None else Path(root),
        )

    def packs(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "packs").iterdir()}

    def shown(self, sample: str) -> list[int]:
        """Return the numbers that the images of the nominal window show."""
        with PackedSample.open(self.root / "packs" / f"{sample}.zip") as pack:
            first = pack.meta.window_offset
            images = pack.read(range(first, first + pack.meta.window_length))
        return [read_number(decoded(image)) for image in images]


def decoded(image: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture(scope="module")
def broadcast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS["h264_b"](tmp_path_factory.mktemp("broadcast"), NUM_FRAMES)


@pytest.fixture
def project(tmp_path: Path, broadcast: Path) -> Project:
    return Project(tmp_path, broadcast)


def test_all_layouts_give_the_window_of_the_papers(project: Project) -> None:
    """Packs of frames are equal to the byte, and pictures are those of the video.

    Up to two levels: whoever wrote the images converted colours with other rounding than we do.
    """
    project.extract(
        frames_dir=None, annotations_source=str(project.info), videos_dir=None or str(project.own)
    )
    for name, last in LAST_FRAMES.items():
        assert project.shown(name) == [*range(last - 103, last)]
    pictures = {}
    for name in LAST_FRAMES:
        with PackedSample.open(project.root / "packs" / f"{name}.zip") as pack:
            pictures[name] = [decoded(image) for image in pack.read(range(pack.meta.num_frames))]
    project.extract()
    whole = project.packs()
    for name, expected in pictures.items():
        with PackedSample.open(project.root / "packs" / f"{name}.zip") as pack:
            images = [decoded(image) for image in pack.read(range(pack.meta.num_frames))]
        assert len(images) == len(expected) == 109
        apart = [abs(a.astype(int) - b).max() for a, b in zip(images, expected, strict=True)]
        assert max(apart) <= 2
    project.by_dive(start=None)
    project.extract()
    assert project.packs() == whole


@pytest.mark.parametrize("start", [0, 1])
def test_folders_of_dives_may_count_from_their_own_start(project: Project, start: int) -> None:
    project.extract()
    whole = project.packs()
    project.by_dive(start=start)
    tables = project.download()
    early = tables.notes[tables.notes["kind"] == "folder_begins_early"]
    assert list(early["sample_id"]) == list(LAST_FRAMES)
    assert "01_01 begins 3 frames before the window that papers describe" in early.iloc[0]["detail"]
    project.extract()
    assert project.packs() == whole


def test_the_released_window_begins_with_the_folder(project: Project) -> None:
    project.by_dive(start=0)
    project.extract(released_window=True)
    for name, last in LAST_FRAMES.items():
        assert project.shown(name) == [*range(last - 106, last - 3)]


def test_a_missing_first_image_of_a_dive_shifts_nothing(project: Project) -> None:
    project.by_dive(start=0)
    (project.frames / "01_02" / "00000.png").unlink()
    project.extract()
    assert project.shown("01_002") == [*range(127, 230)]
    for place in range(1, 5):
        (project.frames / "01_02" / f"{place:05d}.png").unlink()
    with pytest.raises(VideoError, match=r"01_002.*needs frames 127 to 229, but .* has frames 129"):
        project.extract()


def test_a_gap_is_noted_and_named(project: Project) -> None:
    project.image(150).unlink()
    (project.frames / "01" / "thumbs.db").write_bytes(b"x")
    notes = project.download().notes.set_index("kind")["detail"]
    assert "1 of the numbers 1 to 300 have no image, 151 first" in notes["gap_in_frames"]
    assert "no numbered images, left out: thumbs.db" in notes["no_numbered_image"]
    with pytest.raises(VideoError, match="1 of the images that it needs are missing, number 151"):
        project.extract()
    report = project.extract(damaged="exclude")
    assert list(report.excluded["sample_id"]) == ["01_001", "01_002"]
    assert project.shown("01_003") == [*range(177, 280)]


def test_dives_without_a_folder_are_named_or_left_out(project: Project) -> None:
    project.by_dive(start=None)
    shutil.rmtree(project.frames / "01_02")
    with pytest.raises(DownloadError, match=r"1 of 3 dives are missing:\n.*01_002: no images in"):
        project.download()
    tables = project.download(allow_missing=True)
    assert list(tables.annotations["sample_id"]) == ["01_001", "01_003"]
    assert list(tables.missing_videos["video_id"]) == ["01_002"]
    assert "excluded_video_missing" in set(tables.notes["kind"])


def test_numbers_that_mean_nothing_are_refused(project: Project) -> None:
    project.by_dive(start=5000)
    with pytest.raises(
        AnnotationError,
        match=r"01_02: numbers 5000 to 5108; expected the broadcast.*around 125 to 230",
    ):
        project.download()


def test_official_release_and_pickles_are_compared(project: Project, tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")  # two broadcasts of two dives
    project.by_dive(start=None)
    with pytest.raises(DownloadError, match="2 of 4 dives are missing"):
        project.download(annotations_source=str(release))
    tables = project.download(annotations_source=str(release), allow_missing=True)
    details = tables.notes[tables.notes["kind"] == "info_differs"].set_index("sample_id")["detail"]
    assert "has another start_frame; final_annotations_dict.pkl is kept" in details["01_001"]
    assert details["02_001"] == "augmented_final_annotations_dict.pkl lacks it"
    assert details["01_003"] == "final_annotations_dict.pkl lacks it"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "000301.png").write_bytes(b"new"),
        lambda folder: (folder / "000007.png").unlink(),
        lambda folder: (folder / "000007.png").rename(folder / "000700.png"),
    ],
    ids=["new", "gone", "renamed"],
)
def test_a_changed_folder_is_noticed(project: Project, change: Callable[[Path], object]) -> None:
    table = project.root / "sources.csv"
    write_sources(DATASETS["mtl_aqa"].own_files(project.options()), table, root=project.root)
    assert len(table.read_text().splitlines()) == 1 + 3 + 1  # header, pickles, one folder
    for read_all in (False, True):
        assert changed_sources(table, root=project.root, read_all=read_all) == []
    change(project.frames / "01")
    for read_all in (False, True):
        assert changed_sources(table, root=project.root, read_all=read_all) == [
            "held/frames/01 has changed"
        ]
