"""The command `dae-aqa`."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import pytest
from tests.edit_params import edit_params

from dae_aqa.cli import main as cli
from dae_aqa.cli.recipes import recipe_names
from dae_aqa.params import load_params


@pytest.fixture(autouse=True)
def project(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the shipped params.yaml and dvc.yaml, in which the command runs."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_params_that_are_valid(capsys):
    assert cli.main(["params"]) == 0
    assert capsys.readouterr().out == "params.yaml is valid\n"


def test_params_with_a_fault(project, capsys):
    text = (project / "params.yaml").read_text().replace("model: dae_mt", "model: dae_tm")
    (project / "params.yaml").write_text(text)
    assert cli.main(["params"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dae-aqa: params.yaml: 1 problem(s):\n  model: 'dae_tm' is not")


def test_params_tells_every_fault_of_every_section(capsys):
    edit_params(
        {
            "datasets.simdive.fps": 3,
            "datasets.simdive.height": 257,
            "datasets.mtl_aqa.annotations_source": "ftp://example.org/a.zip",
            "extract_frames.width": 8,
            "make_splits.val_fraction": 0,
            "train.clips.starts": [],
            "lr": 0,
        }
    )
    assert cli.main(["params"]) == 1
    said = capsys.readouterr().err
    assert "params.yaml: 7 problem(s):\n" in said
    for line in (
        "lr: 0 is out of range; expected a number > 0.",
        "extract_frames.width: 8 is out of range; expected a number >= 16 and <= 8192.",
        "make_splits.val_fraction: 0 is out of range; expected a number > 0 and <= 0.9.",
        "datasets.simdive.fps: 3 is out of range; expected a number >= 5 and <= 120.",
        "datasets.simdive.height: 257; expected an even number.",
        "datasets.mtl_aqa.annotations_source: 'ftp://example.org/a.zip'; expected a folder, a",
        "train.clips.starts: needs at least one clip start.",
    ):
        assert f"\n  {line}" in said


def test_no_params_file(project, capsys):
    (project / "params.yaml").unlink()
    assert cli.main(["params"]) == 1
    assert "params.yaml: no such file" in capsys.readouterr().err


def test_params_is_the_whole_check(project, capsys):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("dir: my_videos", "dir: data/videos"))
    assert cli.main(["params"]) == 1
    assert "datasets.csv.videos_dir: 'data/videos' lies in data/videos" in capsys.readouterr().err


def test_recipe_writes_and_tells(project, capsys):
    assert cli.main(["recipe", "mtl_aqa_dae"]) == 0
    assert "model: dae_mt -> dae\n" in capsys.readouterr().out
    assert load_params(project / "params.yaml").model == "dae"


def test_recipe_that_changes_nothing(capsys):
    assert cli.main(["recipe", "simdive"]) == 0
    assert capsys.readouterr().out == "params.yaml has these values already\n"


def test_unknown_recipe_lists_the_known(project, capsys):
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        cli.main(["recipe", "nope"])
    said = capsys.readouterr().err
    assert all(name in said for name in recipe_names())
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["unknown"]])
def test_no_such_command(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "COMMAND" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert all(
        command in said
        for command in ("recipe", "params", "ui", "compare", "features", "refresh", "doctor")
    )


def test_ui_opens_the_repositorys_store(project, monkeypatch):
    called: list[list[str]] = []
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
    monkeypatch.setattr(cli.os, "execv", lambda path, command: called.append([path, *command]))
    assert cli.main(["ui", "--port", "5055"]) == 0
    (command,) = called
    assert command[:5] == [sys.executable, sys.executable, "-m", "mlflow", "ui"]
    assert command[-2:] == ["--port", "5055"]
    store = command[command.index("--backend-store-uri") + 1]
    assert store.startswith("sqlite:///")
    assert str(project) in store


@pytest.mark.parametrize("port", ["99999", "0", "-1", "http"])
def test_ui_on_no_port(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["ui", "--port", port])
    assert "argument --port: " in capsys.readouterr().err


def test_ui_on_a_busy_port(project, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert cli.main(["ui", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"port {port} cannot be used (Address already in use)" in said
    assert f"make ui PORT={port + 1}" in said
    assert not (project / ".mlflow").exists()


def test_ui_where_no_pipeline_is(project, capsys):
    (project / "dvc.yaml").unlink()
    assert cli.main(["ui"]) == 1
    assert "no dvc.yaml here. Run the command in the repository." in capsys.readouterr().err
    assert not (project / ".mlflow").exists()
