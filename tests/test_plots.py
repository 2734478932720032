"""The plots of `dvc plots diff`: each of one unit, with words, of columns that the stages write."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dae_aqa.evaluation.calibration import COLUMNS as CALIBRATION_COLUMNS
from dae_aqa.tables.predictions import COLUMNS as PREDICTION_COLUMNS
from dae_aqa.training.history import COLUMNS as EPOCH_COLUMNS

TABLES = {
    "reports/training.csv": EPOCH_COLUMNS,
    "reports/predictions.csv": PREDICTION_COLUMNS,
    "reports/calibration.csv": CALIBRATION_COLUMNS,
}
OWN_TEMPLATES = ("scatter_diagonal", "calibration")  # of .dvc/plots


@pytest.fixture(scope="module")
def plots(repo_root: Path) -> dict[str, dict]:
    listed = yaml.safe_load((repo_root / "dvc.yaml").read_text())["plots"]
    return {name: plot for entry in listed for name, plot in entry.items()}


def columns_of(plot: dict) -> tuple[str, list[str]]:
    ((table, columns),) = plot["y"].items()
    return table, columns if isinstance(columns, list) else [columns]


def test_loss_error_and_rho_have_plots_of_their_own(plots):
    shown = [columns_of(plot) for plot in plots.values()]
    assert shown == [
        ("reports/training.csv", ["train_loss"]),
        ("reports/training.csv", ["val_mae"]),
        ("reports/training.csv", ["val_spearman", "val_spearman_execution"]),
        ("reports/predictions.csv", ["mu"]),
        ("reports/calibration.csv", ["observed"]),
    ]


def test_plots_have_words_and_columns_that_exist(plots):
    for plot in plots.values():
        table, columns = columns_of(plot)
        assert set(columns) | {plot["x"]} <= set(TABLES[table])
        assert plot["template"] in ("linear", *OWN_TEMPLATES)
        assert min(len(plot[key]) for key in ("title", "x_label", "y_label")) > 3


def test_git_ignores_the_page_of_the_plots(repo_root):
    command = ["git", "check-ignore", "dvc_plots/index.html"]
    ignored = subprocess.run(command, cwd=repo_root, check=False, capture_output=True)
    assert ignored.returncode == 0


class SmallRepo:
    """A repository with this project's plots, and two rows in each of their tables."""

    def __init__(self, path: Path, *, root: Path):
        self.path = path
        self.run("git", "init", "--quiet")
        self.run("dvc", "init", "--quiet")
        shutil.copytree(root / ".dvc/plots", path / ".dvc/plots")
        plots = yaml.safe_load((root / "dvc.yaml").read_text())["plots"]
        (path / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}))
        (path / "params.yaml").write_text("protocol: honest\n")
        (path / "reports").mkdir()

    def run(self, *command: str) -> str:
        python = [sys.executable, "-m"] if command[0] == "dvc" else []
        done = subprocess.run(
            [*python, *command], cwd=self.path, check=True, capture_output=True, text=True
        )
        return done.stdout

    def write(self, *rows: float) -> None:
        """Write tables whose columns all hold these numbers, and commit them."""
        for name, columns in TABLES.items():
            lines = [",".join(columns), *(",".join([str(row)] * len(columns)) for row in rows)]
            (self.path / name).write_text("\n".join(lines) + "\n")
        self.run("git", "add", "--all")
        author = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        self.run("git", *author, "commit", "--quiet", "--message", "Tables")

    def drawing(self, command: str, *revisions: str, plot: str) -> dict[str, Any]:
        """Return the Vega-Lite specification that `dvc plots` draws."""
        return json.loads(
            self.run("dvc", "plots", command, *revisions, "--targets", plot, "--show-vega")
            if command == "diff"
            else self.run("dvc", "plots", command, plot, "--show-vega")
        )


@pytest.fixture(scope="module")
def small_repo(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallRepo:
    repo = SmallRepo(tmp_path_factory.mktemp("plots"), root=repo_root)
    repo.write(0.2, 0.4)
    repo.write(0.3, 0.5)
    return repo


def columns_by_layer(drawing: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what each layer draws against what, by its kind of mark; the diagonal by its name."""
    x = drawing["encoding"]["x"]["field"]
    ys = {layer["mark"].get("color", "data"): layer for layer in drawing["layer"]}
    return {name: (x, layer["encoding"]["y"]["field"]) for name, layer in ys.items()}


def test_both_plots_of_scores_and_of_intervals_have_their_diagonal(small_repo):
    for plot, x, y in (
        ("test-scores", "final_score", "mu"),
        ("calibration", *CALIBRATION_COLUMNS[:2]),
    ):
        drawing = small_repo.drawing("show", plot=plot)
        assert columns_by_layer(drawing) == {"data": (x, y), "grey": (x, x)}
        assert "<DVC_METRIC" not in json.dumps(drawing)
        assert [row[y] for row in drawing["data"]["values"]] == ["0.3", "0.5"]


def test_two_revisions_have_two_colours(small_repo):
    for plot in ("test-scores", "calibration"):
        drawing = small_repo.drawing("diff", "HEAD~1", "HEAD", plot=plot)
        (color,) = (
            layer["encoding"]["color"] for layer in drawing["layer"] if "color" in layer["encoding"]
        )
        assert color["scale"]["domain"] == ["HEAD~1", "HEAD"]
        assert len(set(color["scale"]["range"])) == 2
        assert [row["rev"] for row in drawing["data"]["values"]] == ["HEAD~1"] * 2 + ["HEAD"] * 2


def test_the_page_of_a_table_without_rows_is_drawn(repo_root, tmp_path):
    """As where too few samples are tested to say what the intervals hold."""
    repo = SmallRepo(tmp_path, root=repo_root)
    repo.write()
    repo.run("dvc", "plots", "show")
    assert (tmp_path / "dvc_plots/index.html").is_file()


def test_git_knows_the_templates(repo_root):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", ".dvc/plots"],
        cwd=repo_root, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert sorted(listed) == sorted(f".dvc/plots/{name}.json" for name in OWN_TEMPLATES)
