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
    # panels that differ so much that a mark from the wrong place gives another score:
    # 5 is dropped with 2 of the first diver, 9 with 6 of the second, 10 with 0.5 of synchronisation
    ([2.0, 5.0, 3.0, 9.0, 6.0, 7.5, 1.0, 4.5, 10.0, 8.0, 0.5], "synchronised_diving_11", 14.4),
    # execution keeps 3.0 and 5.0, synchronisation 6.5, 7.0 and 9.0: 30.5 * 0.6
    ([9.5, 3.0, 5.0, 1.0, 6.5, 10.0, 7.0, 2.0, 9.0], "synchronised_diving_9", 18.3),
    ([1.0, 9.0, 4.0, 6.0, 2.5], "diving", 12.5),
    ([0.5, 9.0, 4.0, 6.0, 2.5, 10.0, 1.0], "diving", 12.5),
]


@pytest.mark.parametrize(("marks", "rule", "expected"), WORKED_EXAMPLES)
def test_worked_examples(marks: list[float], rule: str, expected: float) -> None:
    assert scoring.execution_score(marks, rule=rule) == pytest.approx(expected, abs=1e-12)


def test_final_score_of_the_worked_example() -> None:
    execution = scoring.execution_score([9.0, 8.5, 9.0, 8.0, 9.0, 8.5, 9.0], rule="diving")
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


def test_marks_lie_on_the_last_axis_of_any_array() -> None:
    """Three samples, drawn four times each: 12 panels of seven marks."""
    marks = np.random.default_rng(0).integers(0, 21, (3, 4, 7)) / 2
    expected = [[sum(sorted(panel)[2:5]) for panel in sample] for sample in marks.tolist()]
    np.testing.assert_array_equal(scoring.diving(marks), expected)
    np.testing.assert_array_equal(scoring.diving(torch.from_numpy(marks)).numpy(), expected)


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


def test_marks_that_are_no_numbers_name_the_sample() -> None:
    marks = np.full((2, 7), 7.0)
    marks[1, 3] = np.nan
    with pytest.raises(ScoringError, match=r"sample 'y': a mark is not a finite number"):
        scoring.execution_score(marks, rule="diving", sample_ids=["x", "y"])
    with pytest.raises(ScoringError, match=r"sample 'y': a mark is not finite"):
        scoring.judge_matrix(marks.tolist(), rule="diving", sample_ids=["x", "y"])


def test_unknown_rules_are_listed() -> None:
    with pytest.raises(
        ScoringError, match=r"unknown scoring rule 'gym'; allowed: diving, .*sum_of_elements"
    ):
        scoring.scoring_rule("gym", num_judges=4)
    with pytest.raises(ScoringError, match="unknown scoring rule 'gym'"):
        scoring.judge_matrix([[1.0]], rule="gym", sample_ids=["a"])


def test_official_scores_agree_up_to_half_of_a_tenth() -> None:
    """Marks of 26.5 with DD 3.0 give 79.5; score sheets may round to one decimal."""
    official = [79.5, 79.45, 79.55, 79.44, 79.56]
    wrong = scoring.disagrees_with_rule(
        official=official,
        judge_scores=[[9.0, 8.5, 9.0, 8.0, 9.0, 8.5, 9.0]] * 5,
        difficulty=[3.0] * 5,
        rule="diving",
    )
    assert wrong.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([7, 7, 5, 5], r"'s2': 5 marks, expected 7\n  sample 's3': 5 marks, expected 7"),
        ([5, 7, 5], "'s1': 7 marks, expected 5"),
        ([6, 6, 5], r"'s0': 6 marks, expected 5\n  sample 's1'"),
        ([4, 6], r"'s0': 4 marks, expected 7\n  sample 's1'"),
    ],
)
def test_the_panel_that_most_samples_have_is_expected(counts: list[int], message: str) -> None:
    """Of two equally frequent ones the larger; of counts that the rule takes alone."""
    marks = [[7.0] * count for count in counts]
    names = [f"s{row}" for row in range(len(counts))]
    with pytest.raises(ScoringError, match=message):
        scoring.judge_matrix(marks, rule="diving", sample_ids=names)


def test_twenty_bad_samples_are_named_and_the_others_counted() -> None:
    marks = [[7.0] * 5] * 23 + [[7.0] * 7] * 30
    names = [f"s{row:02d}" for row in range(len(marks))]
    with pytest.raises(ScoringError, match=r"23 problem\(s\)(?s:.*)'s19'.*\n  … and 3 more"):
        scoring.judge_matrix(marks, rule="diving", sample_ids=names)
    with pytest.raises(ScoringError, match=r"marks of 53 samples but 1 sample_ids"):
        scoring.judge_matrix(marks, rule="diving", sample_ids=["a"])


def test_a_scalar_and_no_marks_are_refused() -> None:
    with pytest.raises(ScoringError, match="needs at least one axis"):
        scoring.execution_score(7.0, rule="diving")
    with pytest.raises(ScoringError, match="takes one or more marks, got 0"):
        scoring.scoring_rule("sum_of_elements", num_judges=0)
    marks = np.full((2, 2, 7), 7.0)
    marks[1, 0, 2] = np.inf
    with pytest.raises(ScoringError, match="sample '2': a mark is not a finite number"):
        scoring.execution_score(marks, rule="diving")


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
