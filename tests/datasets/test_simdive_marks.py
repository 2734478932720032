"""The simulated marks against MTL-AQA, the true sigma against simulation, the trap against rho."""

import pickle
from typing import get_args

import numpy as np
import pytest
from scipy.stats import spearmanr
from simdive_options import simdive_options

from dae_aqa.datasets.simdive.baselines import single_fault_baselines
from dae_aqa.datasets.simdive.catalogue import (
    DIVE_KINDS,
    DIVE_PROBABILITIES,
    parse_dive_number,
)
from dae_aqa.datasets.simdive.dives import FAULT_WEIGHTS, mark_from_faults, simulate_dives
from dae_aqa.datasets.simdive.generation import tables
from dae_aqa.datasets.simdive.judging import noise_sd, true_sigma_execution
from dae_aqa.datasets.simdive.options import NoiseLaw
from dae_aqa.errors import EvaluationError
from dae_aqa.params import load_params

NUM_DIVES = 3000


def statistics(final, difficulty, marks):
    """What the issue states about MTL-AQA, computed alike for real and simulated dives.

    A mark more than two points off its panel's median is a typing error of the release.
    """
    final, difficulty, marks = map(np.asarray, (final, difficulty, marks))
    typed = np.abs(marks - np.median(marks, axis=1, keepdims=True)).max(axis=1) <= 2
    good, good_dd = marks[typed], difficulty[typed]
    mean, spread = good.mean(axis=1), good.std(axis=1, ddof=1)
    one_to_six = [
        spearmanr(good_dd * good[:, j], good_dd * np.delete(good, j, axis=1).mean(axis=1))[0]
        for j in range(7)
    ]
    return {
        "mean": final.mean(),
        "sd": final.std(),
        "judges_low": spread[mean < 6.5].mean(),
        "judges_high": spread[mean > 8.5].mean(),
        "difficulty": spearmanr(difficulty, final)[0],
        "one_to_six": np.mean(one_to_six),
    }


@pytest.fixture(scope="module", params=get_args(NoiseLaw))
def many(request):
    return request.param, simulate_dives(
        simdive_options(num_dives=NUM_DIVES, noise_law=request.param)
    )


def columns(dives):
    return (
        np.array([dive.final_score for dive in dives]),
        np.array([dive.kind.difficulty for dive in dives]),
        np.array([dive.judge_scores for dive in dives]),
    )


def test_the_simulation_is_calibrated_to_mtl_aqa(many):
    law, dives = many
    final, difficulty, marks = columns(dives)
    simulated = statistics(final, difficulty, marks)

    assert simulated["mean"] == pytest.approx(67.0, abs=1.2)
    assert simulated["sd"] == pytest.approx(16.9, abs=1.2)
    assert 0 <= final.min() < 15
    assert 100 < final.max() < 115
    assert simulated["difficulty"] == pytest.approx(0.56, abs=0.05)
    assert set(np.unique(marks * 2 % 1)) == {0.0}
    if law == "monotone":
        assert simulated["judges_low"] == pytest.approx(0.46, abs=0.02)
        assert simulated["judges_high"] == pytest.approx(0.28, abs=0.02)
        assert simulated["one_to_six"] == pytest.approx(0.972, abs=0.012)


def test_the_figures_of_mtl_aqa_are_computed_the_same_way(shared_dir):
    release = shared_dir / "annotations" / "mtl-aqa"
    dives = pickle.loads((release / "augmented_final_annotations_dict.pkl").read_bytes())
    split = next(release.glob("Ready_2_Use/*/test_split_0.pkl"))
    test = {tuple(key) for key in pickle.loads(split.read_bytes())}

    def figures(keys):
        rows = [dives[key] for key in keys]
        return statistics(
            [row["final_score"] for row in rows],
            [row["difficulty"] for row in rows],
            [row["judge_scores"] for row in rows],
        )

    everything, test_only = figures(dives), figures([key for key in dives if key in test])
    assert everything["mean"] == pytest.approx(67.0, abs=0.05)
    assert everything["sd"] == pytest.approx(16.9, abs=0.05)
    assert everything["judges_low"] == pytest.approx(0.46, abs=0.01)
    assert everything["judges_high"] == pytest.approx(0.28, abs=0.01)
    assert everything["one_to_six"] == pytest.approx(0.972, abs=0.001)
    assert test_only["difficulty"] == pytest.approx(0.56, abs=0.005)


def test_no_fault_alone_ranks_the_dives(many):
    _, dives = many
    execution = np.array([dive.execution_score for dive in dives])
    faults = {name: [dive.faults[name] for dive in dives] for name in FAULT_WEIGHTS}
    alone = {name: abs(spearmanr(values, execution)[0]) for name, values in faults.items()}
    assert max(alone.values()) <= 0.75
    assert 0.60 <= alone["splash"] <= 0.73
    pair = np.column_stack([faults["splash"], faults["entry"], np.ones(len(dives))])
    fitted = pair @ np.linalg.lstsq(pair, execution, rcond=None)[0]
    assert 0.78 <= spearmanr(fitted, execution)[0] <= 0.87
    assert spearmanr([dive.true_mark for dive in dives], execution)[0] >= 0.96


def ranks(baselines, annotations):
    score = annotations["final_score"] / annotations["difficulty"]
    return {name: abs(spearmanr(values, score)[0]) for name, values in baselines.items()}


def test_the_shipped_dataset_keeps_the_bars_on_its_test_split(repo_root):
    options = load_params(repo_root / "params.yaml").datasets.simdive
    annotations, truth = tables(options=options)
    test = annotations[annotations["split"] == "test"]
    baselines = ranks(single_fault_baselines(truth=truth, annotations=test), test)
    assert len(test) >= 100
    assert baselines["fault_splash"] <= 0.75
    assert baselines["splash_entry"] <= 0.88
    assert baselines["ceiling"] >= 0.955
    assert baselines["all_faults"] <= 0.99


@pytest.mark.parametrize("law", get_args(NoiseLaw))
@pytest.mark.parametrize("mark", [3.2, 5.05, 6.3, 7.0, 8.15, 9.4])
def test_true_sigma_is_the_spread_of_the_execution_score(law, mark):
    rng = np.random.default_rng(5)
    panel_sd, judge_sd = (float(sd) for sd in noise_sd(np.array(mark), law=law))
    opinions = rng.normal(mark, panel_sd, (30_000, 1))
    marks = np.floor(rng.normal(opinions, judge_sd, (30_000, 7)) * 2 + 0.5) / 2
    scores = np.sort(np.clip(marks, 0, 10), axis=1)[:, [2, 3, 4]].sum(axis=1)
    sigma = true_sigma_execution(np.array([mark]), law=law)
    assert sigma == pytest.approx(scores.std(), rel=0.03)
    assert scores.mean() == pytest.approx(3 * mark, abs=0.25 * scores.std())


def test_true_sigma_explains_the_errors_of_the_judges(many):
    _, dives = many
    errors = [
        (dive.execution_score - dive.true_execution) / dive.true_sigma_execution
        for dive in dives
        if 1 < dive.true_mark < 9.9
    ]
    assert np.std(errors) == pytest.approx(1.0, abs=0.05)
    assert np.mean(errors) == pytest.approx(0.0, abs=0.08)


def test_noise_laws_differ_in_shape():
    # Whole marks: between half points, rounding adds to the spread of very sure judges.
    marks = np.array([3.0, 5.0, 7.0, 9.0])
    falling = true_sigma_execution(marks, law="monotone")
    peaked = true_sigma_execution(marks, law="mid_peak")
    assert np.all(np.diff(falling) <= 0)
    assert falling[0] > 2.5 * falling[-1]
    assert np.all(peaked[2] >= 2.5 * peaked[[0, 1, 3]])


def test_noise_law_changes_the_marks_alone(many):
    law, dives = many
    other = "mid_peak" if law == "monotone" else "monotone"
    rest = simulate_dives(simdive_options(num_dives=40, noise_law=other))
    for dive, twin in zip(dives[:40], rest, strict=True):
        assert dive.kind == twin.kind
        assert dive.faults == twin.faults
    assert any(a.judge_scores != b.judge_scores for a, b in zip(dives[:40], rest, strict=True))


def test_score_follows_the_rules_of_diving(many):
    _, dives = many
    for dive in dives[:200]:
        middle = sorted(dive.judge_scores)[2:5]
        assert dive.execution_score == sum(middle)
        assert dive.final_score == pytest.approx(dive.kind.difficulty * sum(middle), abs=0.005)


def test_worse_faults_never_raise_the_mark():
    faults = dict.fromkeys(FAULT_WEIGHTS, 0.3)
    for name in FAULT_WEIGHTS:
        assert mark_from_faults(faults | {name: 0.6}) < mark_from_faults(faults)
    assert mark_from_faults(dict.fromkeys(FAULT_WEIGHTS, 0.0)) > 9.5
    assert mark_from_faults(dict.fromkeys(FAULT_WEIGHTS, 1.0)) == 0.0


def test_dive_numbers_are_read_as_divers_read_them():
    kind = parse_dive_number("5253B", difficulty=3.2)
    assert (kind.take_off, kind.half_somersaults, kind.half_twists) == ("back", 5, 3)
    assert (kind.position, kind.armstand) == ("pike", False)
    armstand = parse_dive_number("626C", difficulty=3.3)
    assert (armstand.take_off, armstand.armstand, armstand.half_twists) == ("back", True, 0)
    assert parse_dive_number("407C", difficulty=3.2).take_off == "inward"


def test_the_catalogue_holds_every_group_and_ends_hands_first():
    assert sum(DIVE_PROBABILITIES) == pytest.approx(1.0)
    assert {kind.take_off for kind in DIVE_KINDS} == {"forward", "back", "reverse", "inward"}
    assert {kind.position for kind in DIVE_KINDS} == {"straight", "pike", "tuck", "free"}
    # From the feet an odd, from a handstand an even number of half somersaults ends head down.
    assert all((kind.half_somersaults % 2 == 0) == kind.armstand for kind in DIVE_KINDS)


def test_baselines_agree_with_scipy_on_the_given_rows():
    annotations, truth = tables(options=simdive_options(num_dives=60, dives_per_video=10))
    rows = annotations.sample(30, random_state=1)
    baselines = ranks(single_fault_baselines(truth=truth, annotations=rows), rows)
    merged = rows.merge(truth, on="sample_id")
    score = merged["final_score"] / merged["difficulty"]
    for name in FAULT_WEIGHTS:
        expected = abs(spearmanr(merged[f"fault_{name}"], score)[0])
        assert baselines[f"fault_{name}"] == pytest.approx(expected)
    assert baselines["ceiling"] == pytest.approx(spearmanr(merged["true_execution"], score)[0])
    assert baselines["all_faults"] > baselines["splash_entry"]


def test_baselines_name_what_they_miss():
    annotations, truth = tables(options=simdive_options(num_dives=30, dives_per_video=10))
    with pytest.raises(EvaluationError, match=r"1 sample\(s\) without truth.*'sim000_00'"):
        single_fault_baselines(truth=truth.iloc[1:], annotations=annotations)
    with pytest.raises(EvaluationError, match=r"at least 12 samples are needed .* got 3"):
        single_fault_baselines(truth=truth, annotations=annotations.head(3))
