"""The plots of `dvc plots diff`: each of one unit, with words, of columns that the stages write."""

import subprocess
from pathlib import Path

import pytest
import yaml

from dae_aqa.tables.predictions import COLUMNS as PREDICTION_COLUMNS
from dae_aqa.training.history import COLUMNS as EPOCH_COLUMNS

TABLES = {"reports/training.csv": EPOCH_COLUMNS, "reports/predictions.csv": PREDICTION_COLUMNS}


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
    ]


def test_plots_have_words_and_columns_that_exist(plots):
    for plot in plots.values():
        table, columns = columns_of(plot)
        assert set(columns) | {plot["x"]} <= set(TABLES[table])
        assert plot["template"] in ("linear", "scatter")
        assert min(len(plot[key]) for key in ("title", "x_label", "y_label")) > 3


def test_git_ignores_the_page_of_the_plots(repo_root):
    command = ["git", "check-ignore", "dvc_plots/index.html"]
    ignored = subprocess.run(command, cwd=repo_root, check=False, capture_output=True)
    assert ignored.returncode == 0
