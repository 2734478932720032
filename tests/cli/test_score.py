"""`dae-aqa score`, `inspect` and `register` as a user calls them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from tests.scored_windows import small_trained_model, write_clip

from dae_aqa.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small_trained_model().save(tmp_path / "models/model.pt")
    for seed in range(3):
        write_clip(tmp_path / f"clips/{seed}.mp4", seed=seed)
    return tmp_path


def test_a_folder_is_scored_in_one_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "clips", "--difficulty", "3.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["0.mp4", "1.mp4", "2.mp4"]
    assert all("points (90 %: " in line for line in lines)


def test_json_and_csv_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "clips", "--difficulty", "3.2", "--json", "--workers", "1"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["score", "clips", "--difficulty", "3.2", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["mu"]) for row in rows] == [answer["mu"] for answer in answers]
    assert [row["name"] for row in rows] == [answer["name"] for answer in answers]


def test_a_clip_that_fails_is_listed_at_the_end(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "clips/bad.mp4").write_text("no video")
    assert main(["score", "clips", "--difficulty", "3.2"]) == 3
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert "1 of 4 clips not scored" in captured.err
    assert "bad.mp4" in captured.err
    assert main(["score", "clips/bad.mp4", "--difficulty", "3.2"]) == 1


def test_pictures_are_written_for_one_clip(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--difficulty", "3.2", "--strip", "out/s.png", "--annotate", "out/a.mp4"]
    assert main(["score", "clips/0.mp4", *extra]) == 0
    assert {path.name for path in (folder / "out").iterdir()} == {"s.png", "a.mp4"}
    assert main(["score", "clips", *extra]) == 1
    assert "--strip and --annotate show one clip, got 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "clips", "--model", "none.pt"], "none.pt: no such model file. Train one"),
        (["score", "clips"], "give it, e.g. 3.2"),
        (["score", "none.csv"], "none.csv: not a readable CSV table"),
        (["score", "clips", "--start", "1", "--last", "3"], "said more than once"),
        (["inspect", "clips/0.mp4"], "clips/0.mp4"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_inspect_tells_what_the_model_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect"]) == 0
    text = capsys.readouterr().out
    assert "model: dae_mt" in text
    assert "num_frames: 11" in text
    assert main(["inspect", "--json", "models/model.pt", "models/model.pt"]) == 0
    assert json.loads(capsys.readouterr().out)["num_models"] == 2
