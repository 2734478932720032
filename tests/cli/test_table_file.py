"""`table.yaml`: every cell is checked before one is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dae_aqa.cli.table_file import TABLE_FILE, read_table_file
from dae_aqa.errors import ParamsError
from dae_aqa.models.options import METHODS

TABLE = {
    "seeds": [3, 4],
    "every_row": {"num_epochs": 7},
    "rows": {"plain": None, "other": {"model": "dae", "train": {"loss": {"name": "mse"}}}},
}


@pytest.fixture
def read(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what reads a table beside the shipped params.yaml."""
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text((repo_root / name).read_text())
    monkeypatch.chdir(tmp_path)

    def read_table(**changes: object):
        (tmp_path / "table.yaml").write_text(yaml.safe_dump(TABLE | changes, sort_keys=False))
        return read_table_file(Path("table.yaml"), root=tmp_path)

    return read_table


def test_every_row_is_run_with_every_seed_the_first_seed_first(read):
    cells = read()
    assert [(cell.row, cell.seed) for cell in cells] == [
        ("plain", 3),
        ("other", 3),
        ("plain", 4),
        ("other", 4),
    ]
    assert cells[1].changes == {
        "num_epochs": 7,
        "model": "dae",
        "train.loss.name": "mse",
        "seed": 3,
    }
    assert cells[1].params.train.loss.name == "mse"
    assert (cells[0].params.model, cells[0].params.num_epochs) == ("dae_mt", 7)


def test_an_experiments_name_follows_all_that_decides_its_result(read):
    plain, other, *_ = read()
    name = plain.experiment(made_from="code")
    assert name.startswith("table-plain-s3-")
    assert read()[0].experiment(made_from="code") == name
    changed = read(every_row={"num_epochs": 8})[0]
    names = {
        name,
        other.experiment(made_from="code"),
        plain.experiment(made_from="new code"),
        changed.experiment(made_from="code"),
    }
    assert len(names) == 4


def test_a_value_of_a_dataset_that_is_not_chosen_makes_no_new_experiment(read):
    own = read()[0].experiment(made_from="code")
    other = read(every_row={"num_epochs": 7, "datasets.csv.max_score": 50})[0]
    assert other.experiment(made_from="code") == own


def test_a_misspelt_model_is_named_before_anything_runs(read):
    with pytest.raises(ParamsError, match=r"nothing was run: 2 problem") as error:
        read(rows={"a": {"model": "usdll"}, "good": {}, "b": {"model": "dae", "lr": -1}})
    text = str(error.value)
    assert text.count("'usdll' is not allowed") == 1
    assert "row 'b'" in text
    assert "lr: -1 is out of range" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": {"a": {"train.loss.nmae": "mse"}}}, r"did you mean 'train.loss.name'"),
        ({"rows": {"a": {"train": {"loss": 3}}}}, r"row 'a': train.loss: no key of params.yaml"),
        ({"rows": {"a": {"seed": 1}}}, r"rows.a.seed: the seeds of all rows stand under"),
        ({"rows": {"a b": {}}}, r"'a b' is no name of a row"),
        ({"rows": {}}, r"rows: expected names with their changes"),
        ({"rows": {"a": "dae"}}, r"rows.a: expected keys of params.yaml with values, got 'dae'"),
        ({"seeds": []}, r"seeds: expected a list of whole numbers"),
        ({"seeds": [1, 1]}, r"names a seed twice"),
        ({"seeds": [-1]}, r"seed: -1 is out of range"),
        ({"seed": [1]}, r"'seed': unknown \(did you mean 'seeds'\?\)"),
        ({"rows": {"a": {"evaluate.checkpoint": "models/model.pt"}}}, r"lies in models, which"),
    ],
)
def test_faults_name_their_place(read, changes, message):
    with pytest.raises(ParamsError, match=message):
        read(**changes)


def test_the_shipped_table_asks_for_known_methods_and_valid_cells(
    repo_root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(repo_root)
    shipped = yaml.safe_load(TABLE_FILE.read_text())
    models = [row["model"] for row in shipped["rows"].values()]
    assert models == [
        *("mlp", "dae", "dae_mt", "dae_judges"),
        *("usdl", "musdl", "core", "dae_core"),
    ]
    unknown = set(models) - set(METHODS)
    if unknown:
        pytest.skip(f"no method yet: {', '.join(sorted(unknown))}")
    assert len(read_table_file(TABLE_FILE, root=repo_root)) == len(models) * len(shipped["seeds"])
