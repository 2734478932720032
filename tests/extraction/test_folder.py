"""Folders of images: by number, byte for byte, each fault named, nothing shifts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.extraction.sample_table import table
from tests.numbered_videos import all_frames, pixels, read_number

from dae_aqa.datasets.frames import list_frames, look_into
from dae_aqa.errors import AnnotationError, VideoError
from dae_aqa.extraction.extract import ExtractionReport, extract_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.packs.store import PackedSample

ROWS = (("a", "v", 0, 40), ("b", "v", 50, 90))
NEEDED = {"a": range(17, 43), "b": range(67, 93)}


class Project:
    """A folder of images per video and one per performance, and where the pipeline writes."""

    def __init__(self, folder: Path, video: Path, options: ExtractOptions) -> None:
        self.folder, self.root = folder, folder / "images"
        self.options = options.replaced(width=160, height=96)
        for name in ("v", "a", "b"):
            (self.root / name).mkdir(parents=True)
        for number, frame in all_frames(video):
            data = cv2.imencode(".jpg", pixels(frame)[..., ::-1])[1].tobytes()
            names = ["v", *(each for each in NEEDED if number in NEEDED[each])]
            for name in names:
                self.image(number, name).write_bytes(data)

    def image(self, number: int, name: str = "v") -> Path:
        return self.root / name / f"img_{number + 1:05d}.jpg"

    def extract(self, *names: str, **changes: object) -> ExtractionReport:
        videos = self.folder / "videos"
        videos.mkdir(exist_ok=True)
        for path in videos.iterdir():
            path.unlink()
        folders = {name: self.root / name for name in names or ("v",)}
        found = look_into(folders, frames_dir=self.root)
        first = dict.fromkeys(found, 1)
        list_frames(found, first, videos_dir=videos, of_samples="v" not in folders)
        return self.pack(**changes)

    def pack(self, **changes: object) -> ExtractionReport:
        return extract_samples(
            annotations=table(*ROWS),
            videos_dir=self.folder / "videos",
            frames_dir=self.folder / "packs",
            cache_dir=self.folder / "cache",
            options=self.options.replaced(**changes),
            frames_root=self.root,
        )

    def packs(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "packs").iterdir()}

    def images(self, sample: str) -> list[bytes]:
        with PackedSample.open(self.folder / "packs" / f"{sample}.zip") as pack:
            return pack.read(range(pack.meta.num_frames))


@pytest.fixture
def project(
    numbered_video: Callable[[str], Path], tmp_path: Path, options: ExtractOptions
) -> Project:
    return Project(tmp_path, numbered_video("h264_b"), options)


def test_both_layouts_give_equal_packs_of_the_images_as_they_are(project: Project) -> None:
    assert project.extract("v").num_extracted == 2
    packs = project.packs()
    assert project.images("b") == [project.image(n).read_bytes() for n in NEEDED["b"]]
    assert project.extract("a", "b").num_extracted == 2
    assert project.packs() == packs
    assert project.extract("a", "b").num_reused == 2


def test_other_sizes_are_scaled_and_show_the_same_frames(project: Project) -> None:
    project.extract("v", width=320, height=192)
    pictures = [cv2.imdecode(np.frombuffer(i, np.uint8), 1) for i in project.images("a")]
    assert pictures[0].shape == (192, 320, 3)
    assert [read_number(picture) for picture in pictures] == [*NEEDED["a"]]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garble(path: Path) -> None:
    """Overwrite the middle with noise, as a bad disk does."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 512] = np.random.default_rng(0).bytes(512)
    path.write_bytes(data)


def spoil_tables(path: Path) -> None:
    """Damage the Huffman tables, without which no decoder reads the picture."""
    data = path.read_bytes()
    at = data.index(b"\xff\xc4") + 5
    path.write_bytes(data[:at] + b"\xff" * 16 + data[at + 16 :])


def enlarge(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", np.zeros((90, 90, 3), np.uint8))[1].tobytes())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "'b'.*images/v: 1 of the images that it needs are missing, number 81 first"),
        (
            lambda path: path.rename(path.with_name("img_09000.jpg")),
            "'b'.*images/v: 1 of the images that it needs are missing, number 81 first",
        ),
        (truncate, "'b'.*img_00081.jpg: it is cut off"),
        (garble, "'b'.*img_00081.jpg: it is damaged"),
        (spoil_tables, "'b'.*img_00081.jpg: it cannot be decoded"),
        (lambda path: path.write_bytes(b""), "'b'.*img_00081.jpg: it is neither JPEG nor PNG"),
        (enlarge, "'b'.*img_00081.jpg: it has 90×90 pixels, its neighbours 160×96"),
    ],
    ids=["removed", "renumbered", "truncated", "garbled", "tables", "empty", "wrong_size"],
)
def test_a_fault_is_named_and_costs_its_sample_alone(
    project: Project, harm: Callable[[Path], object], message: str
) -> None:
    harm(project.image(80))
    with pytest.raises(VideoError, match=message):
        project.extract()
    assert list(project.packs()) == ["a.zip"]
    assert list(project.extract(damaged="exclude").excluded["sample_id"]) == ["b"]
    assert project.images("a") == [project.image(n).read_bytes() for n in NEEDED["a"]]


def test_an_image_too_many_shifts_nothing_and_a_number_twice_is_an_error(project: Project) -> None:
    project.extract()
    packs = project.packs()
    project.image(500).write_bytes(b"extra")
    project.extract()
    assert project.packs() == packs
    (project.root / "v" / "img_81.jpg").write_bytes(b"twice")
    with pytest.raises(
        AnnotationError, match=r"same number: 1 problem.*\n.*v/img_00081.jpg, v/img_81.jpg"
    ):
        project.extract()


def test_an_image_that_changed_since_it_was_listed_is_told(project: Project) -> None:
    project.extract()
    shutil.rmtree(project.folder / "cache")
    enlarge(project.image(80))
    with pytest.raises(VideoError, match=r"img_00081.jpg: it has changed since it was listed"):
        project.pack()


@pytest.mark.parametrize("harm", [truncate, garble])
def test_a_png_is_packed_as_it_is_and_its_damage_found(
    project: Project, harm: Callable[[Path], object]
) -> None:
    for path in (project.root / "v").iterdir():
        png = cv2.imencode(".png", cv2.imread(str(path)))[1].tobytes()
        path.with_suffix(".PNG").write_bytes(png)
        path.unlink()
    project.extract(image_format="png")
    assert project.images("b") == [
        project.image(n).with_suffix(".PNG").read_bytes() for n in NEEDED["b"]
    ]
    harm(project.image(80).with_suffix(".PNG"))
    with pytest.raises(VideoError, match=r"img_00081.PNG: it is (cut off|damaged)"):
        project.extract(image_format="png")


def test_a_stretched_sample_is_noted(project: Project) -> None:
    """Ranges of 40 frames give 103: each is shown two or three times."""
    report = project.extract(window="uniform", num_frames=103, margin_frames=0)
    assert list(report.notes["note"]) == ["40 frames are stretched to 103"] * 2
    assert project.extract(window="uniform", num_frames=40, margin_frames=0).notes.empty
