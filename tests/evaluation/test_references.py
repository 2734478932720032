"""What the report compares a model with: each dataset's own words, none left out."""

from dataclasses import replace

import numpy as np
import pandas as pd

from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.base import BaselineLabel, PublishedResult
from dae_aqa.datasets.simdive.dives import FAULT_WEIGHTS
from dae_aqa.evaluation.references import references_of
from dae_aqa.report import Reference

BARE = replace(DATASETS["csv"], baseline_labels={}, published=())


def label(name: str, group: str = "") -> BaselineLabel:
    return BaselineLabel(label=name, scale="execution", kind="shortcut", group=group)


def test_a_dataset_that_knows_nothing_is_compared_with_the_difficulty_alone():
    (only,) = references_of(BARE, {"spearman": 0.9, "baseline_difficulty_only": 0.7})
    assert only == Reference(label="Difficulty alone", rho=0.7, scale="final", kind="to beat")


def test_undefined_baselines_are_left_out():
    metrics = {"baseline_difficulty_only": None, "baseline_difficulty_only_reason": "too few"}
    assert references_of(BARE, metrics) == []


def test_the_best_of_a_group_stands_for_it_and_others_keep_the_datasets_order():
    labels = {"z": label("Z"), "a": label("A", "pair"), "b": label("B", "pair"), "c": label("C")}
    metrics = {
        f"baseline_{name}": rho for name, rho in zip("abcz", (0.3, 0.4, 0.1, 0.2), strict=True)
    }
    shown = references_of(replace(BARE, baseline_labels=labels), metrics)
    assert [(item.label, item.rho) for item in shown] == [("Z", 0.2), ("B", 0.4), ("C", 0.1)]
    assert {(item.scale, item.kind) for item in shown} == {("execution", "shortcut")}


def test_a_baseline_without_a_label_must_be_beaten():
    (only,) = references_of(BARE, {"baseline_height_of_jump": 0.5})
    expected = Reference(label="height of jump", rho=0.5, scale="execution", kind="to beat")
    assert only == expected


def test_published_results_come_last_with_their_source():
    paper = PublishedResult(label="Theirs", rho=0.8, scale="final", source="A paper (2020)")
    metrics = {"baseline_difficulty_only": 0.7}
    *_, last = references_of(replace(BARE, published=(paper,)), metrics)
    assert (last.label, last.rho, last.kind) == ("Theirs", 0.8, "published")
    assert (last.scale, last.source) == ("final", "A paper (2020)")


def test_the_judges_stand_between_what_is_computed_and_what_is_published():
    metrics = {"ceiling_num_judges": 7, "ceiling_one_judge": 0.97, "ceiling_half_panel": None}
    metrics |= {"ceiling_one_judge_low": 0.96, "ceiling_one_judge_high": 0.98}
    metrics |= {"baseline_difficulty_only": 0.7}
    paper = PublishedResult(label="Theirs", rho=0.8, scale="final", source="A paper (2020)")
    kinds = [item.kind for item in references_of(replace(BARE, published=(paper,)), metrics)]
    assert kinds == ["to beat", "judges", "published"]
    judge = references_of(BARE, metrics)[1]
    assert judge == Reference(
        label="One judge against the other 6",
        rho=0.97,
        scale="final",
        kind="judges",
        interval=(0.96, 0.98),
    )


def test_every_baseline_of_simdive_has_its_words():
    rng = np.random.default_rng(0)
    names = [f"s{n}" for n in range(30)]
    told = ("true_execution", *(f"fault_{fault}" for fault in FAULT_WEIGHTS))
    truth = pd.DataFrame({"sample_id": names} | {name: rng.uniform(size=30) for name in told})
    annotations = pd.DataFrame(
        {
            "sample_id": names,
            "final_score": rng.uniform(size=30),
            "difficulty": rng.uniform(size=30),
        }
    )
    simdive = DATASETS["simdive"]
    assert simdive.baselines is not None
    assert set(simdive.baselines(truth, annotations)) == set(simdive.baseline_labels)
