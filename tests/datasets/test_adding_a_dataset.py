"""docs/extending.md: a new dataset is a folder and a line; its example runs as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_csv_table import write_video
from tests.edit_params import edit_params

FOLDER = "src/dae_aqa/datasets/vault"


@pytest.fixture(scope="module")
def page(repo_root: Path) -> dict[str, list[str]]:
    """The blocks of the page by language; those of the dataset alone are in `py`."""
    text = (repo_root / "docs/extending.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return {name: [block for other, block in blocks if other == name] for name, _ in blocks}


@pytest.fixture(scope="module")
def root(
    page: dict[str, list[str]], repo_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The project with the folder and the line of the page, and a release of two vaults."""
    root = tmp_path_factory.mktemp("project").resolve()
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("src", "stages"):
        shutil.copytree(repo_root / name, root / name, ignore=ignore)
    shutil.copy(repo_root / "dvc.yaml", root)
    for block in page["py"]:
        path = root / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    (line,) = page["diff"]
    subprocess.run(["git", "apply", "-"], input=line, text=True, cwd=root, check=True)
    (section,) = page["yaml"]
    (root / "params.yaml").write_text((repo_root / "params.yaml").read_text() + section)
    csv_recipe = (root / "src/dae_aqa/datasets/csv/recipes/csv.yaml").read_text()
    (root / FOLDER / "recipes").mkdir()
    recipe = csv_recipe.replace("dataset: csv", "dataset: vault")
    (root / FOLDER / "recipes/vault.yaml").write_text(recipe)
    for name, num_frames in (("anna_1", 12), ("bea_1", 15)):
        write_video(root / f"vaults/{name}.mp4", num_frames=num_frames)
    table = "name,score,difficulty,split\nanna_1,14.2,5.4,train\nbea_1,13.9,5.8,test\n"
    (root / "vaults/vaults.csv").write_text(table)
    (root / "data").mkdir()
    return root


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )


def test_the_folder_holds_no_more_than_the_page_shows(page, root):
    files = {path.relative_to(root / FOLDER).as_posix() for path in (root / FOLDER).rglob("*.*")}
    assert files == {"__init__.py", "options.py", "recipes/vault.yaml"}
    assert len(page["py"]) == 2


def test_its_recipe_and_the_stages_check_and_download(root):
    recipe = run(root, "-m", "dae_aqa.cli.main", "recipe", "vault")
    assert "dataset: simdive -> vault\n" in recipe.stdout, recipe.stderr
    for stage in ("check", "download"):
        done = run(root, f"stages/{stage}.py")
        assert done.returncode == 0, done.stderr
    table = pd.read_csv(root / "data/annotations.csv", keep_default_na=False)
    columns = ["sample_id", "video_id", "start_frame", "end_frame", "final_score", "difficulty"]
    assert table[columns].to_numpy().tolist() == [
        ["anna_1", "anna_1", 0, 12, 14.2, 5.4],
        ["bea_1", "bea_1", 0, 15, 13.9, 5.8],
    ]
    assert table["split"].tolist() == ["train", "test"]
    for name in ("anna_1", "bea_1"):
        copied = root / f"data/videos/{name}.mp4"
        assert copied.read_bytes() == (root / f"vaults/{name}.mp4").read_bytes()
    sources = pd.read_csv(root / "data/sources.csv")["path"].tolist()
    assert sources == ["vaults/anna_1.mp4", "vaults/bea_1.mp4", "vaults/vaults.csv"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("release_dir", "data/videos", "'data/videos' lies in data/videos, which the pipeline"),
        ("release_dir", " ", "expected a text that is not blank"),
        ("frame_numbering", "seconds", "'seconds' is not allowed; expected one of: decoded, refe"),
        ("releases", "x", "unknown key (did you mean 'release_dir'?)"),
    ],
)
def test_the_check_knows_its_section(root, key, value, told):
    before = (root / "params.yaml").read_text()
    edit_params({f"datasets.vault.{key}": value}, path=root / "params.yaml")
    done = run(root, "stages/check.py")
    (root / "params.yaml").write_text(before)
    assert done.returncode == 1
    assert f"datasets.vault.{key}: {told}" in done.stderr


def test_what_the_report_compares_it_with(root):
    code = (
        "from dae_aqa.datasets import DATASETS\n"
        "dataset = DATASETS['vault']\n"
        "print(dataset.published[0].rho, dataset.citation)"
    )
    assert run(root, "-c", code).stdout == "0.8 B. Author, A Dataset of Vaults (2023)\n"
