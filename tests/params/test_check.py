"""The check of the whole project, before anything is deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.edit_params import edit_params
from tests.params.leaves import leaves

from dae_aqa.errors import OutputError, ParamsError
from dae_aqa.options import flatten, path_keys
from dae_aqa.params import Params, load_params
from dae_aqa.params.check import check_project


@pytest.fixture(autouse=True)
def project(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def refusal(project: Path) -> str:
    with pytest.raises(ParamsError, match=r"^params\.yaml: \d+ problem\(s\):\n") as caught:
        check_project(root=project)
    return str(caught.value)


def test_good_project(project):
    assert check_project(root=project) == load_params(project / "params.yaml")


def test_a_fault_is_told_with_the_way_back(project):
    edit_params({"lr": "abc"})
    message = refusal(project)
    assert "lr: expected a number, got 'abc' (str)." in message
    assert "`git checkout params.yaml`" in message


@pytest.mark.parametrize("key", path_keys(Params))
def test_no_path_may_lie_in_an_output(project, key):
    released = {"backbone": "i3d", "train.clips.size_px": 64}
    edit_params({**released, key: "data/videos"})
    assert f"{key}: 'data/videos' lies in data/videos, which the pipeline deletes" in refusal(
        project
    )


def test_every_path_is_looked_at():
    """A text that names a file or a folder must be marked as one."""
    words = ("dir", "csv", "source", "list", "weights", "checkpoint", "path", "file")
    texts = [
        key
        for key, field in leaves(Params).items()
        if "str" in str(field.annotation) and any(word in key.split(".")[-1] for word in words)
    ]
    assert len(texts) == 22
    assert sorted(texts) == sorted(path_keys(Params))


@pytest.mark.parametrize(
    "path",
    [
        "data/videos/mine",
        "./data/../data/videos",
        "models/model.pt",
        "data/annotations.csv",
        "link",
    ],
)
def test_paths_are_followed(project, path):
    Path("data/videos").mkdir(parents=True)
    Path("link").symlink_to(project / "data/videos")
    edit_params({"datasets.csv.videos_dir": path})
    assert "lies in" in refusal(project)


def test_absolute_paths_are_followed(project):
    edit_params({"datasets.csv.annotations_csv": str(project / "data/truth.csv")})
    assert "lies in data/truth.csv" in refusal(project)


def test_output_that_is_a_link_to_the_users_folder(project):
    Path("data").mkdir()
    Path("my_videos").mkdir()
    Path("data/videos").symlink_to(project / "my_videos")
    edit_params({"datasets.csv.videos_dir": "my_videos"})
    assert "lies in data/videos" in refusal(project)


def test_queued_experiment_names_outputs_of_the_real_root(project, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(name, copy)
    monkeypatch.chdir(copy)
    edit_params({"datasets.csv.videos_dir": str(project / "data/videos")})
    assert "lies in data/videos" in refusal(project)


@pytest.mark.parametrize(
    "path", ["data", "data/mine.csv", "my_videos", "data/videos2", "my_models"]
)
def test_other_paths_are_free(project, path):
    edit_params({"datasets.csv.videos_dir": path})
    assert flatten(check_project(root=project))["datasets.csv.videos_dir"] == path


def test_path_that_is_none(project):
    Path("loop").symlink_to("loop")
    edit_params({"datasets.csv.videos_dir": "~no_such_user/x", "datasets.csv.annotations_csv": "a"})
    assert "datasets.csv.videos_dir: '~no_such_user/x' is no path" in refusal(project)


def test_address_is_no_path(project):
    edit_params({"datasets.mtl_aqa.annotations_source": "https://example.org/data/videos"})
    check_project(root=project)


def test_files_of_the_user_in_an_output(project):
    Path("data/videos").mkdir(parents=True)
    Path("data/videos/13.mp4").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"data/videos: 13\.mp4 would be lost"):
        check_project(root=project)
    assert Path("data/videos/13.mp4").read_bytes() == b"mine"


@pytest.mark.parametrize("folder", ["reports", ".cache"])
def test_folder_that_cannot_be_written(project, folder):
    """A file in place of the folder: even root cannot write into it."""
    Path(folder).touch()
    with pytest.raises(OutputError, match=rf"{folder}: .*cannot be (written|made)"):
        check_project(root=project)
