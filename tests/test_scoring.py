"""Scoring rules against worked examples and the official scores of MTL-AQA."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dae_aqa import scoring
from dae_aqa.errors import ScoringError

WORKED_EXAMPLES = [  # marks, rule, execution, all counted by hand
    ([9.0, 8.5, 9.0, 8.0, 9.0, 8.5, 9.0], "diving", 26.5),
    ([9.5, 9.0, 9.5, 9.0, 8.5, 9.5, 8.5], "diving", 27.5),
    ([8.0, 7.5, 8.5, 8.0, 7.0], "diving", 23.5),
    ([8.0, 7.5, 8.5, 7.0, 8.0, 8.5, 9.0, 8.0, 7.5], "synchronised_diving_9", 24.0),
    ([8.0, 7.5, 8.5, 7.0, 7.5, 9.0, 8.0, 8.5, 9.0, 8.0, 7.5], "synchronised_diving_11", 24.0),
    ([4.0, 3.5, 5.0], "sum_of_elements", 12.5),
]


@pytest.mark.parametrize(("marks", "rule", "expected"), WORKED_EXAMPLES)
def test_worked_examples(marks: list[float], rule: str, expected: float) -> None:
    assert scoring.execution_score(marks, rule=rule) == pytest.approx(expected, abs=1e-12)
    if rule != "sum_of_elements":
        assert scoring.diving_execution(marks) == pytest.approx(expected, abs=1e-12)


def test_final_score_of_the_worked_example() -> None:
    execution = scoring.diving_execution([9.0, 8.5, 9.0, 8.0, 9.0, 8.5, 9.0])
    assert scoring.final_score(execution=execution, difficulty=3.8) == pytest.approx(100.70)


@pytest.mark.parametrize("rule", list(scoring.SCORING_RULES))
def test_tensors_give_what_arrays_give_and_a_true_gradient(rule: str) -> None:
    scoring_rule = scoring.SCORING_RULES[rule]
    rng = np.random.default_rng(0)
    marks = rng.normal(7.0, 1.0, (5, (scoring_rule.num_judges or (4,))[-1]))
    tensor = torch.tensor(marks, dtype=torch.float64, requires_grad=True)
    np.testing.assert_allclose(
        scoring_rule.execution(tensor).detach().numpy(), scoring_rule.execution(marks), rtol=1e-14
    )
    assert torch.autograd.gradcheck(scoring_rule.execution, (tensor,))


@pytest.mark.parametrize("rule", list(scoring.SCORING_RULES))
def test_rows_are_independent_and_the_input_stays(rule: str) -> None:
    num_judges = (
        scoring.SCORING_RULES[rule].num_judges[-1] if scoring.SCORING_RULES[rule].num_judges else 6
    )
    marks = np.random.default_rng(1).uniform(0, 10, (3, 4, num_judges))
    before = marks.copy()
    together = scoring.execution_score(marks, rule=rule)
    assert together.shape == (3, 4)
    assert together[2, 1] == scoring.execution_score(marks[2, 1], rule=rule)
    np.testing.assert_array_equal(marks, before)


def test_a_wrong_number_of_marks_names_the_sample() -> None:
    with pytest.raises(ScoringError, match=r"'dive-2': 5 marks, expected 7"):
        scoring.judge_matrix([[7.0] * 7, [7.0] * 5], rule="diving", sample_ids=["a", "dive-2"])
    with pytest.raises(ScoringError, match=r"'odd': 5 marks, expected 7"):
        scoring.judge_matrix(
            [[7.0] * 7, [7.0] * 5, [7.0] * 7], rule="diving", sample_ids=["a", "odd", "b"]
        )
    with pytest.raises(ScoringError, match=r"sample 'x'.*takes 5 or 7 marks, got 6"):
        scoring.execution_score(np.ones((2, 6)), rule="diving", sample_ids=["x", "y"])
    with pytest.raises(ScoringError, match=r"takes 5 or 7 marks, got 6"):
        scoring.diving_execution(np.ones((2, 6)))


def test_marks_that_are_no_numbers_name_the_sample() -> None:
    marks = np.full((2, 7), 7.0)
    marks[1, 3] = np.nan
    with pytest.raises(ScoringError, match=r"sample 'y': a mark is not a finite number"):
        scoring.diving_execution(marks, sample_ids=["x", "y"])
    with pytest.raises(ScoringError, match=r"sample 'y': a mark is not finite"):
        scoring.judge_matrix(marks.tolist(), rule="diving", sample_ids=["x", "y"])


def test_unknown_rules_are_listed() -> None:
    with pytest.raises(
        ScoringError, match=r"unknown scoring rule 'gym'; allowed: diving, .*sum_of_elements"
    ):
        scoring.scoring_rule("gym", num_judges=4)
    with pytest.raises(ScoringError, match="unknown scoring rule 'gym'"):
        scoring.judge_matrix([[1.0]], rule="gym", sample_ids=["a"])


def test_judge_matrix_returns_the_marks() -> None:
    marks = scoring.judge_matrix(
        [[1.0, 2.0], [3.0, 4.0]], rule="sum_of_elements", sample_ids=["a", "b"]
    )
    np.testing.assert_array_equal(marks, [[1.0, 2.0], [3.0, 4.0]])


class _ArraysOnly(pickle.Unpickler):
    """Admits NumPy arrays alone: the release's dictionary holds nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        return allowed[(module, name)]


def test_mtl_aqa_official_scores(shared_dir: Path) -> None:
    path = shared_dir / "annotations/mtl-aqa/augmented_final_annotations_dict.pkl"
    with path.open("rb") as file:
        samples = _ArraysOnly(file, encoding="latin1").load()
    keys = sorted(samples)
    disagreeing = scoring.disagrees_with_rule(
        official=[samples[key]["final_score"] for key in keys],
        judge_scores=np.stack([samples[key]["judge_scores"] for key in keys]),
        difficulty=[samples[key]["difficulty"] for key in keys],
        rule="diving",
    )
    assert int((~disagreeing).sum()) == 1385
    named = [key for key, bad in zip(keys, disagreeing, strict=True) if bad]
    assert len(named) == 27
    assert (1, 70) in named  # 18.15 where the marks give 37.95
    assert (13, 17) not in named  # 57.8: the sheet rounds 57.75 to one decimal
