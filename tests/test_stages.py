"""The stage scripts, one after the other on tiny videos of the user's own; each test checks one.

The videos show the number of each frame, so that what a stage passes on can be told from the
pictures; every expected value is written down here or computed from the tables.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from dae_aqa.errors import OutputError, SplitError
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.packs.store import PackedSample
from tests.edit_params import edit_params
from tests.numbered_videos import HEIGHT, WIDTH, read_number, write_video

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "dataset": "csv",
    "num_epochs": 2,
    "train_batch_size": 4,
    "test_batch_size": 4,
    "temporal_aug": 0,
    "extract_frames.num_frames": 8,
    "extract_frames.margin_frames": 0,
    "extract_frames.width": WIDTH,
    "extract_frames.height": HEIGHT,
    "extract_frames.image_format": "png",
    "extract_frames.num_workers": 1,
    "make_splits.val_fraction": 0.34,
    "make_splits.group_by": "sample",
    "train.clips.starts": [0],
    "train.clips.num_frames": 8,
    "train.clips.stride": 1,
    "train.clips.crop_px": 96,
    "train.clips.size_px": 32,
    "train.tracking": False,
    "evaluate.num_bootstrap": 100,
    "evaluate.num_worst": 2,
}
# three dives of ten frames each in three videos; the third video is the test split
SAMPLES = [(f"{video}_{n}", video, 10 * n, 10 * n + 10) for video in "abc" for n in range(3)]
SCORES = {sample: 20.0 + 7.5 * row for row, (sample, *_) in enumerate(SAMPLES)}
TESTED = ["c_0", "c_1", "c_2"]

ORDER = ("check", "download", "extract_frames", "make_splits", "train", "evaluate")

Run = Callable[[str], None]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stages").resolve()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root)
    edit_params(TINY, path=root / "params.yaml")
    for folder in ("data", "models", "reports", "my_videos"):
        (root / folder).mkdir()
    for video in "abc":
        write_video(root / f"my_videos/{video}.mp4", codec="libx264", num_frames=30)
    rows = ["sample_id,video,start_frame,end_frame,score,difficulty,split"]
    for sample, video, start, end in SAMPLES:
        split = "test" if sample in TESTED else "train"
        rows.append(f"{sample},{video}.mp4,{start},{end},{SCORES[sample]},2.5,{split}")
    (root / "my_videos/annotations.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def done() -> set[str]:
    """The stages that have run in the project."""
    return set()


@pytest.fixture
def run(project: Path, done: set[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the `main` of a stage's script in the project, after those before it."""
    monkeypatch.chdir(project)

    def stage(name: str) -> None:
        for each in ORDER[: ORDER.index(name)]:
            if each not in done:
                stage(each)
        runpy.run_path(str(ROOT / f"stages/{name}.py"))["main"]()
        done.add(name)

    before = torch.are_deterministic_algorithms_enabled()
    yield stage
    torch.use_deterministic_algorithms(before)


def table(path: str) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


def test_check(project, run):
    run("check")
    assert Path("data/checked.txt").read_bytes() == b"params.yaml is valid\n"
    written = Path("data/checked.txt").read_bytes()
    edit_params({"lr": 0.001})
    run("check")
    assert Path("data/checked.txt").read_bytes() == written


def test_download(project, run):
    old = b"an old video"
    md5 = hashlib.md5(old).hexdigest()
    shutil.rmtree("data/videos", ignore_errors=True)
    for path in (project / ".dvc/cache/files/md5" / md5[:2] / md5[2:], Path("data/videos/old.mp4")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(old)
    run("download")
    videos = {path.name: path.read_bytes() for path in Path("data/videos").iterdir()}
    assert videos == {f"{v}.mp4": Path(f"my_videos/{v}.mp4").read_bytes() for v in "abc"}
    annotations = table("data/annotations.csv").set_index("sample_id")
    assert annotations["final_score"].to_dict() == SCORES
    ranges = annotations[["video_id", "start_frame", "end_frame"]].itertuples()
    assert [tuple(row) for row in ranges] == SAMPLES
    assert set(annotations["difficulty"]) == {2.5}
    assert table("data/sources.csv")["path"].tolist() == [
        *("my_videos/a.mp4", "my_videos/annotations.csv", "my_videos/b.mp4", "my_videos/c.mp4")
    ]
    for name, columns in {
        "truth": ["sample_id"],
        "notes": ["sample_id", "kind", "detail"],
        "missing_videos": ["video_id", "num_samples", "address", "reason"],
    }.items():
        assert table(f"data/{name}.csv").columns.tolist() == columns
        assert table(f"data/{name}.csv").empty


def test_download_deletes_no_file_of_the_users(project, run):
    Path("data/videos").mkdir(exist_ok=True)
    Path("data/videos/13.mp4").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"13\.mp4.* would be lost"):
        run("download")
    assert Path("data/videos/13.mp4").read_bytes() == b"mine"
    shutil.rmtree("data/videos")
    run("download")


def numbers(sample: str) -> list[int]:
    """Return the numbers that the packed frames of a sample show."""
    with contextlib.closing(PackedSample.open(Path(f"data/frames/{sample}.zip"))) as packed:
        images = packed.read(range(packed.meta.num_frames))
    pictures = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in images]
    return [read_number(picture) for picture in pictures]


def test_extract_frames(project, run):
    run("extract_frames")
    assert sorted(path.stem for path in Path("data/frames").iterdir()) == sorted(SCORES)
    for sample, _, _, end in SAMPLES:  # the last eight frames of each
        assert numbers(sample) == list(range(end - 8, end))
    assert table("data/excluded.csv").columns.tolist()[0] == "sample_id"
    assert table("data/excluded.csv").empty
    assert table("data/extraction_notes.csv").empty


def test_make_splits(project, run):
    run("make_splits")
    splits = table("data/splits.csv").set_index("sample_id")["split"]
    assert splits.index.tolist() == sorted(SCORES)
    assert splits[splits == "test"].index.tolist() == TESTED
    assert (splits == "val").sum() == 2  # 0.34 of six
    assert (splits == "train").sum() == 4


def test_make_splits_leaves_out_what_was_excluded(project, run):
    excluded = Path("data/excluded.csv").read_text()
    with Path("data/excluded.csv").open("a") as file:
        file.write("b_1" + "," * excluded.splitlines()[0].count(",") + "\n")
    run("make_splits")
    without = table("data/splits.csv")["sample_id"].tolist()
    Path("data/excluded.csv").write_text(excluded)
    assert without == [sample for sample in sorted(SCORES) if sample != "b_1"]
    run("make_splits")


def test_make_splits_tells_of_a_missing_split(project, run):
    edit_params({"make_splits.val_fraction": 0.01})
    with pytest.raises(SplitError, match="val"):
        run("make_splits")
    edit_params({"make_splits.val_fraction": 0.34})


def test_make_splits_never_draws_over_a_split_of_the_users_own(project, run):
    edit_params({"make_splits.source": "random"})
    with pytest.raises(
        SplitError, match=r"is random, but your table's column 'split' names 3 test"
    ):
        run("make_splits")
    edit_params({"make_splits.source": "auto"})
    run("make_splits")
    splits = table("data/splits.csv").set_index("sample_id")["split"]
    assert splits[splits == "test"].index.tolist() == TESTED
    edit_params({"make_splits.source": "official"})


def test_train(project, run):
    run("train")
    history = table("reports/training.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert np.isfinite(history["train_loss"].astype(float)).all()
    trained = TrainedModel.load(Path("models/model.pt"))
    assert (trained.model.spec.model, trained.model.spec.backbone) == ("dae_mt", "small3d")
    # what the targets are scaled with comes from the four training samples alone
    splits = table("data/splits.csv").set_index("sample_id")["split"]
    execution = [SCORES[sample] / 2.5 for sample in splits[splits == "train"].index]
    state = trained.model.state_dict()
    mean = next(value for key, value in state.items() if key.endswith("target_mean"))
    assert float(mean) == pytest.approx(np.mean(execution), rel=1e-6)
    assert [path.name for path in Path(".cache/trainings").glob("*/finished.txt")]


def test_evaluate(project, run):
    run("evaluate")
    predictions = table("reports/predictions.csv")
    assert predictions["sample_id"].tolist() == TESTED
    assert predictions["final_score"].tolist() == [SCORES[sample] for sample in TESTED]
    metrics = json.loads(Path("reports/metrics.json").read_text())
    errors = predictions["mu"] - predictions["final_score"]
    assert metrics["mae"] == pytest.approx(errors.abs().mean())
    assert metrics["bias"] == pytest.approx(errors.mean())
    assert (metrics["num_train"], metrics["num_val"], metrics["num_test"]) == (4, 2, 3)
    assert table("reports/calibration.csv").columns.tolist() == ["nominal", "observed", "protocol"]
    page = Path("reports/index.html").read_text()
    assert all(sample in page for sample in TESTED)
    assert not list(Path(".cache/trainings").glob("*"))  # evaluated, so no longer needed
