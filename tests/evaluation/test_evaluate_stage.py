"""The evaluate stage from tables to tables: each sample's own forecast, truth and score."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from tests.packed_samples import draw_frames, write_pack
from tests.report.drawn import Drawing
from tests.tiny_training import MakeParams, TinyData
from tests.training.seen import names_in, watching

from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.simdive.dives import FAULT_WEIGHTS
from dae_aqa.evaluation import stage
from dae_aqa.evaluation.calibration import write_calibration
from dae_aqa.evaluation.stage import evaluate_and_report
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.metrics.summary import evaluate_predictions
from dae_aqa.params import Params
from dae_aqa.report import ReportInputs, write_report
from dae_aqa.report.curves import training_figures
from dae_aqa.tables.predictions import read_predictions
from dae_aqa.training.loop import FitResult

NUM_TEST, NUM_FRAMES = 14, 10
TRAINING = {
    "num_epochs": 6,
    "lr": 0.006,
    "train.schedule": "constant",
    "train.loss.mse_warmup_fraction": 0.3,
    "test_batch_size": 14,
    "evaluate.num_bootstrap": 100,
}
COLUMNS = {
    "notes": ["sample_id", "kind", "detail"],
    "extraction_notes": ["sample_id", "video_id", "note"],
    "excluded": ["sample_id", "reason"],
    "missing_videos": ["video_id"],
}


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What the stage was given, saw and wrote."""

    annotations: pd.DataFrame
    truth: pd.DataFrame
    raw: pd.DataFrame
    scale: tuple[float, float, float]
    predictions: pd.DataFrame
    metrics: dict[str, Any]
    inputs: ReportInputs
    params: Params
    trained: FitResult
    reports_dir: Path


def tables_of(
    data: TinyData, brightness: dict[str, float], history: pd.DataFrame, folder: Path
) -> EvaluationTables:
    """Return the tables of test samples beside the tiny ones, none in the order of another."""
    rng = np.random.default_rng(4)
    names = list(brightness)
    for name, shade in brightness.items():
        write_pack(folder, name, draw_frames(name, num_frames=NUM_FRAMES, brightness=shade))
    difficulty = rng.uniform(1.5, 4.0, NUM_TEST)
    tested = pd.DataFrame(
        {
            "sample_id": names,
            "final_score": difficulty * rng.uniform(10, 28, NUM_TEST),
            "difficulty": difficulty,
            "judge_scores": [
                ";".join(f"{mark:g}" for mark in row)
                for row in rng.integers(8, 19, (NUM_TEST, 5)) / 2
            ],
        }
    )
    places = {"video_id": "01", "start_frame": 0, "end_frame": 10}
    places |= dict.fromkeys(("action_class", "split", "task", "fold", "group"), "")
    truth = pd.DataFrame({"sample_id": rng.permutation([*names, *data.splits["sample_id"]])})
    told = ("execution", "final", "sigma_execution", "sigma_final")
    for column in (*(f"true_{name}" for name in told), *(f"fault_{f}" for f in FAULT_WEIGHTS)):
        truth[column] = rng.uniform(0.5, 2.0, len(truth))
    splits = pd.DataFrame({"sample_id": names, "split": "test", "part": ""})
    empty = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    annotations = pd.concat([data.annotations, tested]).assign(**places)
    return EvaluationTables(
        annotations=annotations.sample(frac=1, random_state=2, ignore_index=True),
        splits=pd.concat([data.splits, splits]).sample(frac=1, random_state=3, ignore_index=True),
        truth=truth,
        history=history,
        **empty,
    )


def with_contrary_validation(data: TinyData) -> TinyData:
    """Return data whose four validation samples grow worse with every epoch, so the last is bad."""
    validates = data.splits["sample_id"].isin(["t3", "v0", "v1", "v2"])
    score = data.annotations["final_score"]
    return dataclasses.replace(
        data,
        splits=data.splits.assign(split=np.where(validates, "val", "train")),
        annotations=data.annotations.assign(final_score=score.where(~validates, 100 - score)),
    )


@pytest.fixture(scope="module")
def evaluated(
    small_params: MakeParams, tiny_data: TinyData, tmp_path_factory: pytest.TempPathFactory
) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluated")
    shades = np.random.default_rng(1).permutation(NUM_TEST) / NUM_TEST
    brightness = {f"x{row:02d}": float(shade) for row, shade in enumerate(shades)}
    params = small_params(TRAINING)
    data = with_contrary_validation(tiny_data)
    trained, result = data.train(params.training, folder)
    trained.save(folder / "model.pt")
    tables = tables_of(data, brightness, result.history, folder)
    given: list[ReportInputs] = []

    def keep_and_write(inputs: ReportInputs, *, output: Path) -> None:
        given.append(inputs)
        write_report(inputs, output=output)

    with pytest.MonkeyPatch.context() as patched, watching() as seen:
        patched.setattr(stage, "write_report", keep_and_write)
        evaluate_and_report(
            params.training,
            evaluate=params.evaluate,
            dataset=DATASETS["simdive"],
            params=params.used,
            tables=tables,
            frames_dir=folder,
            models_dir=folder,
            reports_dir=folder / "reports",
            trainings_dir=folder / "trainings",
            features_dir=folder,
        )
    torch.use_deterministic_algorithms(False)
    # the last output and pass are those of a sample without content, which count the arithmetic
    *outputs, _ = seen.val.outputs
    one, _ = seen.val.passes
    mu, log_variance = (np.concatenate(each) for each in zip(*outputs, strict=True))
    head = trained.model.head
    return Evaluated(
        annotations=tables.annotations.set_index("sample_id"),
        truth=tables.truth.set_index("sample_id"),
        raw=pd.DataFrame(
            {"mu": mu[:, 0], "log_variance": log_variance[:, 0]},
            index=names_in(one.clips, per_sample=2, brightness=brightness),
        ),
        scale=(float(head.target_mean), float(head.target_std), float(head.sigma_scale)),
        predictions=pd.read_csv(folder / "reports/predictions.csv").set_index("sample_id"),
        metrics=json.loads((folder / "reports/metrics.json").read_text()),
        inputs=given[0],
        params=params,
        trained=result,
        reports_dir=folder / "reports",
    )


def test_every_test_sample_has_its_own_score_and_truth(evaluated: Evaluated):
    table = evaluated.predictions
    assert sorted(table.index) == [f"x{row:02d}" for row in range(NUM_TEST)]
    rows, truth = evaluated.annotations.loc[table.index], evaluated.truth.loc[table.index]
    np.testing.assert_allclose(table["final_score"], rows["final_score"], rtol=1e-8)
    np.testing.assert_allclose(table["difficulty"], rows["difficulty"], rtol=1e-8)
    np.testing.assert_allclose(
        table["true_sigma_execution"], truth["true_sigma_execution"], rtol=1e-8
    )
    np.testing.assert_allclose(
        table["true_sigma"], truth["true_sigma_execution"] * rows["difficulty"], rtol=1e-8
    )


def test_every_forecast_is_the_models_in_score_points(evaluated: Evaluated):
    """The raw outputs belong to the clips that were seen with them; they are scaled by hand."""
    mean, std, sigma_scale = evaluated.scale
    table = evaluated.predictions
    raw = evaluated.raw.loc[table.index]
    np.testing.assert_allclose(table["mu_execution"], mean + std * raw["mu"], rtol=1e-6)
    sigma = sigma_scale * std * np.exp(raw["log_variance"] / 2)
    np.testing.assert_allclose(table["sigma_execution"], sigma, rtol=1e-6)
    np.testing.assert_allclose(table["mu"], table["mu_execution"] * table["difficulty"], rtol=1e-7)


def test_figures_are_those_of_the_table(evaluated: Evaluated):
    table, metrics = evaluated.predictions, evaluated.metrics
    truth = evaluated.truth.loc[table.index]

    def rho(one: pd.Series, other: pd.Series) -> float:
        return float(stats.spearmanr(one, other).statistic)

    expected = {
        "num_test": NUM_TEST,
        "spearman": rho(table["mu"], table["final_score"]),
        "bias": (table["mu"] - table["final_score"]).mean(),
        "rl2_score_max": table["final_score"].max(),
        "sigma_rank_correlation_execution": rho(
            table["sigma_execution"], truth["true_sigma_execution"]
        ),
        "baseline_fault_splash": abs(rho(truth["fault_splash"], table["execution_score"])),
        "baseline_ceiling": abs(rho(truth["true_execution"], table["execution_score"])),
    }
    assert {key: metrics[key] for key in expected} == pytest.approx(expected)


def test_the_written_table_gives_the_same_figures_again(evaluated: Evaluated):
    params, metrics = evaluated.params, evaluated.metrics
    again = evaluate_predictions(
        read_predictions(evaluated.reports_dir / "predictions.csv"),
        num_bootstrap=params.evaluate.num_bootstrap,
        seed=params.seed,
    )
    assert len(again) > 30
    assert again == {key: metrics[key] for key in again}


def test_what_the_intervals_hold_is_told_of_enough_samples(evaluated: Evaluated, tmp_path: Path):
    columns = "nominal,observed,protocol"
    assert (evaluated.reports_dir / "calibration.csv").read_text() == f"{columns}\n"  # of 14
    # mu is 0 and sigma 1 for 40 scores at the middles of 40 equal shares of the normal distribution
    table = evaluated.predictions.reset_index().iloc[np.zeros(40, int)].reset_index(drop=True)
    score = stats.norm.ppf((np.arange(40) + 0.5) / 40)
    write_calibration(
        table.assign(mu=0.0, sigma=1.0, final_score=score), tmp_path / "c.csv", protocol="honest"
    )
    written = pd.read_csv(tmp_path / "c.csv")
    assert ",".join(written.columns) == columns
    assert written["protocol"].unique().tolist() == ["honest"]
    np.testing.assert_allclose(written["nominal"], np.arange(0.05, 0.96, 0.05))
    np.testing.assert_allclose(written["observed"], written["nominal"])


def test_the_report_is_given_the_same_tables(evaluated: Evaluated):
    pd.testing.assert_frame_equal(
        evaluated.inputs.predictions.set_index("sample_id").assign(protocol="honest"),
        evaluated.predictions,
    )
    assert evaluated.inputs.metrics == evaluated.metrics
    assert {"sample_id", "fault_splash"} <= set(evaluated.inputs.truth.columns)
    pd.testing.assert_frame_equal(evaluated.inputs.learning_curves, evaluated.trained.history)


def test_the_report_is_told_what_was_trained_and_how_it_is_shown(evaluated: Evaluated):
    inputs, params = evaluated.inputs, evaluated.params
    assert (inputs.num_train, inputs.num_val) == (3, 4)
    assert (evaluated.metrics["num_train"], evaluated.metrics["num_val"]) == (3, 4)
    assert (inputs.dataset, inputs.model, inputs.backbone) == ("simdive", "dae_mt", params.backbone)
    assert inputs.checkpoint is None
    assert inputs.num_worst == params.evaluate.num_worst
    assert inputs.params == params.used
    strip = inputs.thumbnails(evaluated.predictions.index[0])
    assert [frame[:2] for frame in strip] == [b"\xff\xd8"] * 10


def test_the_learning_curves_mark_the_epoch_whose_weights_are_evaluated(evaluated: Evaluated):
    history, kept = evaluated.trained.history, evaluated.trained.best_epoch
    assert kept == history["val_nll"][2:].idxmin() != len(history) - 1  # two were the warm-up
    (loss,) = training_figures(evaluated.inputs)  # four samples rank nothing
    curve, mark = Drawing(loss.svg).lines()
    np.testing.assert_allclose(curve.x, history["epoch"], atol=0.01)
    np.testing.assert_allclose(curve.y, history["train_loss"], atol=0.01)
    np.testing.assert_allclose(mark.x, [kept, kept], atol=0.01)
    assert f"kept: {kept}" in Drawing(loss.svg).texts
    assert "It may jump at epoch 2, where the warm-up ends." in loss.reading
    assert loss.svg in (evaluated.reports_dir / "index.html").read_text(encoding="utf-8")
    assert (
        f"Epoch {kept} is evaluated: chosen by the greatest likelihood of 4 validation samples, "
        "which are too few to rank." in loss.finding
    )


def test_the_page_compares_with_the_references_of_the_dataset(evaluated: Evaluated):
    shown = {item.label: item.rho for item in evaluated.inputs.references}
    faults = {name: evaluated.metrics[f"baseline_fault_{name}"] for name in FAULT_WEIGHTS}
    best = max(faults, key=lambda name: faults[name])
    metrics = evaluated.metrics
    assert shown == {
        "Difficulty alone": metrics["baseline_difficulty_only"],
        "Difficulty alone, of the execution": metrics["baseline_difficulty"],
        "Splash and entry angle": metrics["baseline_splash_entry"],
        "All faults": metrics["baseline_all_faults"],
        "True quality: the ceiling": metrics["baseline_ceiling"],
        f"{best.capitalize()} alone": faults[best],
        "One judge against the other 4": metrics["ceiling_one_judge"],
        "2 judges against the other 3": metrics["ceiling_half_panel"],
    }


def test_the_human_ceiling_is_that_of_the_test_samples(evaluated: Evaluated):
    rows = evaluated.annotations.loc[evaluated.predictions.index]
    marks = np.array([text.split(";") for text in rows["judge_scores"]], dtype=float)
    rhos = []
    for judge in range(5):
        others = np.sort(np.delete(marks, judge, axis=1), axis=1)[:, 1:3].mean(axis=1)
        sides = (side * rows["difficulty"] for side in (marks[:, judge], others))
        rhos.append(stats.spearmanr(*sides).statistic)
    assert evaluated.metrics["ceiling_one_judge"] == pytest.approx(np.mean(rhos), abs=1e-12)
