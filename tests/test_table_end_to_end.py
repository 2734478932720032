"""`dae-aqa table` as a user runs it: stopped once, finished by a second call."""

import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from tests.test_end_to_end import Project, copy_of_repository

TABLE = """
seeds: [0, 1]
every_row: {num_epochs: 2, train.num_threads: 1}
rows:
  point: {model: mlp}
  Gaussian: {model: dae}
"""
COMMAND = (sys.executable, "-m", "dae_aqa.cli.main", "table")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = copy_of_repository(tmp_path_factory.mktemp("table") / "project")
    (project.path / "table.yaml").write_text(TABLE)
    return project  # table.yaml is a change of the workspace that no commit holds


def epochs_trained(project: Project) -> int:
    logs = project.path.glob("logs/table-*/train.log")
    return sum(len(re.findall(r": epoch \d+: ", log.read_text())) for log in logs)


def test_a_stopped_table_goes_on_and_a_finished_one_trains_nothing(project):
    with subprocess.Popen(COMMAND, cwd=project.path, stderr=subprocess.PIPE, text=True) as command:
        deadline = time.monotonic() + 600
        while not epochs_trained(project) and time.monotonic() < deadline:
            time.sleep(0.1)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=120)
    assert command.returncode == 130, said
    assert "call it again to go on" in said
    before = project.run("git", "status", "--porcelain")

    output = project.run(*COMMAND)
    assert "4 of 4 cells" in output
    assert epochs_trained(project) in (8, 9)  # at most the one that was stopped is trained again
    table = pd.read_csv(project.path / "reports/table.csv")
    ceilings = table["row"].str.startswith("Human ceiling")
    assert table.loc[ceilings, "spearman_mean"].between(0.5, 1).tolist() == [True, True]
    table = table[~ceilings]
    assert sorted(table["row"]) == ["Gaussian", "point"]
    assert table["seeds"].tolist() == ["0 1", "0 1"]
    assert table["spearman_mean"].between(-1, 1).all()
    assert table["num_parameters_mean"].diff().abs().iloc[1] == 129  # a head for the variance
    assert (table[["train_seconds", "score_seconds"]] > 0).all(axis=None)
    assert (project.path / "reports/table.html").stat().st_size > 10_000
    assert "| Gaussian | 2 |" in (project.path / "reports/table.md").read_text()

    trained = epochs_trained(project)
    assert "queueing" not in project.run(*COMMAND)
    assert epochs_trained(project) == trained
    assert project.run("git", "status", "--porcelain") == before
    name = re.search(r"table-point-s0-[0-9a-f]{8}", project.run("dvc", "exp", "list"))
    assert name is not None


def test_a_cell_that_fails_is_named_and_a_misspelt_one_stops_all(project):
    path = project.path / "table.yaml"
    path.write_text(f"{TABLE}  broken: {{train.backbone_weights: nowhere.pth}}\n")
    output = project.run(*COMMAND, ok=False)
    assert re.search(r"failed: table-broken-s1-\w+: train failed. \S*/nowhere.pth: no such", output)
    assert "(log: `dvc queue logs table-broken-s1-" in output
    assert "4 of 6 cells" in output
    path.write_text(f"{TABLE}  misspelt: {{model: dea}}\n")
    output = project.run(*COMMAND, ok=False)
    assert "'dea' is not allowed (did you mean 'dae'?)" in output
    assert "queueing" not in output
