"""`dae-aqa compare`: what people call an evaluation, what is refused, what is said."""

from __future__ import annotations

import hashlib
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.report.drawn import Drawing

from dae_aqa.cli import main as cli
from dae_aqa.cli.evaluations import find_evaluation
from dae_aqa.errors import EvaluationError
from dae_aqa.tables.predictions import build_predictions, write_predictions


def predictions(seed: int, *, noise: float = 2.0, num: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    difficulty, execution = rng.choice([2.0, 3.0], num), rng.uniform(12, 28, num)
    samples = pd.DataFrame(
        {
            "sample_id": [f"d{row:02d}" for row in range(num)],
            "final_score": execution * difficulty,
            "difficulty": difficulty,
        }
    )
    rng = np.random.default_rng(seed)
    sigma = noise * rng.uniform(0.5, 1.5, num)
    return build_predictions(
        samples=samples, mu_execution=rng.normal(execution, sigma), sigma_execution=sigma
    )


def write(folder: Path, table: pd.DataFrame, **metrics: object) -> Path:
    """Write an evaluation into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(table, folder / "predictions.csv")
    (folder / "metrics.json").write_text(json.dumps({"num_test": len(table), **metrics}))
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two evaluations, `old` and the better `new`, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "old", predictions(1))
    write(tmp_path / "new", predictions(2, noise=0.7))
    return tmp_path


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(project: Path) -> Path:
    """A git repository whose outputs lie in DVC's cache: the tag `v1`, the experiment `calm-gull`.

    Its outputs are those of the folder `old` at v1, and those of `new` in the experiment.
    """
    git("init", "-q")
    (project / ".gitignore").write_text("/old\n/new\n/.dvc/cache\n/reports\n")
    for folder, reference in (
        ("old", "refs/tags/v1"),
        ("new", f"refs/exps/ab/{'c' * 38}/calm-gull"),
    ):
        outs = []
        for name in ("predictions.csv", "metrics.json"):
            md5 = hashlib.md5((project / folder / name).read_bytes()).hexdigest()
            cached = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
            cached.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / folder / name, cached)
            outs.append({"path": f"reports/{name}", "md5": md5})
        Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"evaluate": {"outs": outs}}}))
        git("add", "-A")
        git("commit", "-qm", folder)
        git("update-ref", reference, "HEAD")
    return project


def test_two_folders(project, capsys):
    assert cli.main(["compare", "old", "new", "--resamples", "200", "--samples", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "A: folder old, protocol honest\nB: folder new, protocol honest\n"
        "60 test samples, 200 paired resamples\n"
    )
    row = next(line for line in said.splitlines() if line.startswith("Mean absolute error"))
    errors = [
        (table["mu"] - table["final_score"]).abs().mean()
        for table in (predictions(1), predictions(2, noise=0.7))
    ]
    cells = re.split(r"\s{2,}", row)
    assert cells[1:5] == [
        "↓",
        *(f"{error:.2f}" for error in errors),
        f"−{errors[0] - errors[1]:.2f}",
    ]
    assert cells[-1] == "B is better"
    assert "B is better in " in said
    change = (predictions(2, noise=0.7)["mu"] - predictions(1)["mu"]).abs()
    most = predictions(1)["sample_id"][change.sort_values(ascending=False).index[:3]].tolist()
    table = said.split("The samples that changed most:\n")[1].splitlines()
    assert [line.split()[0] for line in table[1:4]] == most
    assert table[4:] == ["", "Page: reports/compare.html"]
    assert (project / "reports/compare.html").is_file()


def test_the_page_is_whole_and_stands_alone(project, capsys):
    assert cli.main(["compare", "old", "new", "--resamples", "100", "--out", "pages/p.html"]) == 0
    text = (project / "pages/p.html").read_text(encoding="utf-8")
    html.parser.HTMLParser().feed(text)
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text)
    assert "//" not in re.sub(r"http://www\.w3\.org/\S+|^ *// .*$", "", text, flags=re.MULTILINE)
    assert text.count("protocol <strong>honest</strong>") == 2
    assert '<td class="second">B is better</td>' in text
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)
    first, second = predictions(1), predictions(2, noise=0.7)
    predicted, missed = (Drawing(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    by_name = {point.name.split(":")[0]: point for point in predicted.points()}
    errors = {point.name.split(":")[0]: point for point in missed.points()}
    assert len(by_name) == len(errors) == 60
    for row in range(60):
        name, score = first["sample_id"][row], first["final_score"][row]
        a, b = first["mu"][row], second["mu"][row]
        assert (by_name[name].x[0], by_name[name].y[0]) == pytest.approx((a, b), abs=0.3)
        nearer = "prediction" if abs(b - score) < abs(a - score) else "alert"
        assert by_name[name].color == errors[name].color == nearer
        misses = (abs(a - score), abs(b - score))
        assert (errors[name].x[0], errors[name].y[0]) == pytest.approx(misses, abs=0.1)
    before = text
    assert cli.main(["compare", "old", "new", "--resamples", "100", "--out", "pages/p.html"]) == 0
    assert (project / "pages/p.html").read_text(encoding="utf-8") == before


def test_protocols_are_not_mixed_unasked(project, capsys):
    write(project / "new", predictions(2), protocol="as_published")
    assert cli.main(["compare", "old", "new"]) == 1
    said = capsys.readouterr()
    assert (
        "A, folder old, follows the protocol honest; B, folder new, the protocol as_pub" in said.err
    )
    assert "--across-protocols" in said.err
    assert not (project / "reports").exists()
    assert cli.main(["compare", "old", "new", "--across-protocols", "--resamples", "100"]) == 0
    warning = "A follows the protocol honest, B the protocol as_published: "
    assert warning in capsys.readouterr().out
    text = (project / "reports/compare.html").read_text(encoding="utf-8")
    assert warning in text
    assert "protocol <strong>as_published</strong>" in text


def test_other_test_samples_are_counted_and_named(project, capsys):
    write(project / "new", predictions(2).iloc[3:])
    assert cli.main(["compare", "old", "new"]) == 1
    assert "only the first has 3 sample(s): d00, d01, d02; only the second has none" in (
        capsys.readouterr().err
    )


def test_a_revision_and_an_experiment_are_read_from_the_cache(repository):
    for name, folder in (("v1", "old"), ("calm-gull", "new"), ("HEAD~1", "old"), ("HEAD", "new")):
        found = find_evaluation(name, root=repository)
        expected = find_evaluation(folder, root=repository)
        pd.testing.assert_frame_equal(found.predictions, expected.predictions)
        assert re.fullmatch(rf"revision {name} \([0-9a-f]{{7}}\)", found.place)


def test_a_revision_whose_files_git_holds(repository):
    (repository / "dvc.lock").unlink()
    git("add", "-A")
    git("commit", "-qm", "no lock")
    with pytest.raises(EvaluationError, match=r"HEAD \(\w{7}\) has no reports/predictions.csv"):
        find_evaluation("HEAD", root=repository)
    write(repository / "reports", predictions(5))
    git("add", "-Af", "reports")
    git("commit", "-qm", "reports")
    pd.testing.assert_frame_equal(
        find_evaluation("HEAD", root=repository).predictions, predictions(5)
    )


def test_a_revision_that_the_cache_does_not_hold(repository):
    shutil.rmtree(repository / ".dvc/cache")
    message = (
        r"v1 \(\w{7}\): reports/predictions.csv \(MD5 \w{32}\) is not in DVC's cache, and `dvc"
    )
    with pytest.raises(EvaluationError, match=message):
        find_evaluation("v1", root=repository)


def test_a_checkout_is_read_by_its_reports(project):
    write(project / "other/reports", predictions(3))
    found = find_evaluation("other", root=project)
    pd.testing.assert_frame_equal(found.predictions, predictions(3))


def test_parts_are_pooled_and_their_mean_is_told(project, capsys):
    for name, seed, rho in (("old", 1, 0.61), ("new", 2, 0.72)):
        table = predictions(seed)
        table.insert(1, "part", ["a"] * 30 + ["b"] * 30)
        write(project / name, table, tasks={"a": {}, "b": {}}, mean={"spearman": rho})
    assert cli.main(["compare", "old", "new", "--resamples", "100"]) == 0
    said = capsys.readouterr().out
    assert "Mean ρ over tasks: A 0.610, B 0.720." in said
    assert "60 test samples" in said


@pytest.mark.parametrize("is_repository", [True, False])
def test_an_unknown_name_says_what_was_tried(is_repository, request, project):
    if is_repository:
        request.getfixturevalue("repository")
        hint = r"none of that name \(did you mean 'calm-gull'\?\)"
    else:
        hint = "is no git repository"
    message = rf"'calm-gul' names no evaluation. Tried as a folder .*{hint}.* 32 digits"
    with pytest.raises(EvaluationError, match=message):
        find_evaluation("calm-gul", root=project)
    with pytest.raises(EvaluationError, match="the store has none with this id"):
        find_evaluation("0" * 32, root=project)
    with pytest.raises(EvaluationError, match="'-x' names no evaluation"):
        find_evaluation("-x", root=project)


def test_a_folder_that_lacks_a_file_or_holds_a_damaged_one(project, repository):
    (project / "new/metrics.json").write_text("{")
    with pytest.raises(EvaluationError, match=r"new/metrics.json: cannot be read as JSON"):
        find_evaluation("new", root=project)
    (project / "new/metrics.json").write_text("[]")
    with pytest.raises(EvaluationError, match="expected an object with a figure for each key"):
        find_evaluation("new", root=project)
    (project / "new/metrics.json").unlink()
    with pytest.raises(
        EvaluationError, match=r"a folder without predictions\.csv and metrics\.json"
    ):
        find_evaluation("new", root=project)
    for cached in (project / ".dvc/cache").rglob("??????????????????????????????"):
        cached.write_text("x\n")
    with pytest.raises(EvaluationError, match=r"^revision v1 \(\w+\), predictions.csv: the pred"):
        find_evaluation("v1", root=project)
