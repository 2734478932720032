"""Rows of the table, with numbers that a hand can follow."""

from __future__ import annotations

import pytest
from tests.method_table.made_up import cell

from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.base import PublishedResult
from dae_aqa.errors import EvaluationError
from dae_aqa.method_table.rows import MeanAndSpread, blocks_of, ceilings_of, published_of


def test_mean_and_deviation_over_seeds():
    found = MeanAndSpread.of([0.80, 0.82, 0.87])
    assert found is not None
    assert found.mean == pytest.approx(0.83)
    # deviations -0.03, -0.01, 0.04: squares sum to 0.0026, over two
    assert found.spread == pytest.approx(0.0013**0.5)


def test_one_seed_has_no_deviation_and_none_no_figure():
    assert MeanAndSpread.of([0.8]) == MeanAndSpread(mean=0.8, spread=None)
    assert MeanAndSpread.of([]) is None


def test_rows_stand_best_first_and_count_their_seeds():
    cells = [
        cell("low", 0, rho=0.6, seconds=10.0, spearman_ci95=[0.5, 0.7]),
        cell("low", 1, rho=0.8, seconds=None, spearman_ci95=[0.7, 0.9]),
        cell("high", 0, rho=0.9),
    ]
    seeds = {"low": [0, 1], "high": [0, 1], "never ran": [0, 1]}
    (block,) = blocks_of(cells, seeds=seeds, published=())
    assert [row.name for row in block.rows] == ["high", "low"]
    high, low = block.rows
    assert (high.seeds, high.missing, low.missing) == ((0,), (1,), ())
    assert low.rho == pytest.approx(0.7)
    assert low.interval == pytest.approx((0.6, 0.8))
    assert high.interval is None
    assert low.train_seconds == 10.0
    assert high.train_seconds is None
    assert high.verdict == "best"


def test_a_figure_that_one_seed_lacks_has_no_mean():
    cells = [cell("a", 0, rho=0.6, rejection_tau=0.5), cell("a", 1, rho=0.8, rejection_tau=None)]
    (block,) = blocks_of(cells, seeds={"a": [0, 1]}, published=())
    assert block.rows[0].figures["rejection_tau"] is None


def test_protocols_are_never_in_one_ranking():
    cells = [
        cell("as papers do", 0, rho=0.95, protocol="as_published"),
        cell("worse", 0, rho=0.7, error=25.0, protocol="honest"),
        cell("no protocol is honest", 0, rho=0.8),
    ]
    seeds = {each.row: [0] for each in cells}
    honest, other = blocks_of(cells, seeds=seeds, published=())
    assert (honest.is_honest, other.is_honest) == (True, False)
    assert [row.name for row in honest.rows] == ["no protocol is honest", "worse"]
    assert [(row.name, row.verdict) for row in other.rows] == [("as papers do", "best")]


def of_both_protocols(**settings):
    honest = [(0, 0.80, 2.0), (1, 0.84, 1.5), (2, 0.90, 1.0)]
    published = [(1, 0.88, 1.0), (2, 0.92, 0.75), (3, 0.99, 0.1)]
    return [
        *(cell("honest", s, rho=r, rl2_x100=d, settings={"lr": 0.1}) for s, r, d in honest),
        *(
            cell("peeks", s, rho=r, rl2_x100=d, settings=settings, protocol="as_published")
            for s, r, d in published
        ),
    ]


def test_a_protocol_brings_the_difference_of_the_seeds_that_both_rows_have():
    seeds = {"peeks": [1, 2, 3], "honest": [0, 1, 2]}
    honest, other = blocks_of(of_both_protocols(lr=0.1), seeds=seeds, published=())
    assert honest.rows[0].above_honest is None
    found = other.rows[0].above_honest
    assert found is not None
    assert (found.row, found.seeds) == ("honest", (1, 2))
    # 0.88 - 0.84 and 0.92 - 0.90; 1.0 - 1.5 and 0.75 - 1.0
    rho, rl2 = found.figures["spearman"], found.figures["rl2_x100"]
    assert rho is not None
    assert rl2 is not None
    assert (rho.mean, rho.spread) == pytest.approx((0.03, 0.02 / 2**0.5))
    assert (rl2.mean, rl2.spread) == pytest.approx((-0.375, 0.25 / 2**0.5))
    assert [row.verdict for row in other.rows] == ["best"]  # of its own block


def test_rows_that_differ_in_more_than_the_protocol_have_no_such_difference():
    seeds = {"honest": [0, 1, 2], "peeks": [1, 2, 3]}
    for cells in (of_both_protocols(lr=0.2), of_both_protocols(lr=0.1)[:1] + of_both_protocols()):
        *_, other = blocks_of(cells, seeds=seeds, published=())
        assert other.rows[0].above_honest is None
    no_common_seed = [of_both_protocols(lr=0.1)[0], of_both_protocols(lr=0.1)[-1]]
    assert blocks_of(no_common_seed, seeds=seeds, published=())[1].rows[0].above_honest is None


def test_a_difference_of_protocols_that_is_undefined_for_a_seed_has_no_mean():
    cells = of_both_protocols(lr=0.1)
    cells[1] = cell("honest", 1, rho=None, rl2_x100=1.5, settings={"lr": 0.1})
    _, other = blocks_of(cells, seeds={"honest": [1, 2], "peeks": [1, 2]}, published=())
    found = other.rows[0].above_honest
    assert found is not None
    assert found.figures["spearman"] is None
    assert found.figures["rl2_x100"] is not None


def test_seeds_of_two_protocols_have_no_mean():
    cells = [cell("a", 0, rho=0.9), cell("a", 1, rho=0.9, protocol="as_published")]
    with pytest.raises(EvaluationError, match=r"'a': .* different protocols, as_published and hon"):
        blocks_of(cells, seeds={"a": [0, 1]}, published=())


def test_verdicts_tell_rows_apart_that_differ_and_no_others():
    cells = [
        cell(name, seed, rho=rho, error=error)
        for name, rho, error in (("best", 0.95, 5.0), ("alike", 0.94, 5.5), ("bad", 0.5, 40.0))
        for seed in (0, 1)
    ]
    (block,) = blocks_of(cells, seeds={each.row: [0, 1] for each in cells}, published=())
    verdicts = {row.name: row.verdict for row in block.rows}
    assert verdicts == {"best": "best", "alike": "not distinguishable", "bad": "worse"}


def test_rows_without_a_rho_come_last():
    cells = [cell("few samples", 0, rho=None), cell("a", 0, rho=0.1)]
    (block,) = blocks_of(cells, seeds={"few samples": [0], "a": [0]}, published=())
    assert [(row.name, row.verdict) for row in block.rows] == [
        ("a", "best"),
        ("few samples", "no rho"),
    ]


def test_several_tasks_show_their_mean_and_are_not_tested():
    tasks = {"tasks": {"x": {}}, "mean": {"spearman": 0.7}, "spearman_ci95": [0.1, 0.2]}
    cells = [cell("a", 0, rho=0.2, **tasks), cell("b", 0, rho=0.1, **tasks)]
    (block,) = blocks_of(cells, seeds={"a": [0], "b": [0]}, published=())
    assert [row.rho for row in block.rows] == [0.7, 0.7]
    assert block.rows[0].interval is None
    assert block.rows[1].verdict == "not tested: several tasks"


@pytest.mark.parametrize(
    ("dataset", "model", "rho"),
    [
        *(("mtl_aqa", "dae_mt", 0.9452), ("mtl_aqa", "dae", 0.9231)),
        *(("mtl_aqa", "usdl", 0.9231), ("mtl_aqa", "musdl", 0.9273)),
        *(("mtl_aqa", "core", 0.9512), ("mtl_aqa", "dae_core", 0.9589)),
        *(("jigsaws", "usdl", 0.63), ("jigsaws", "musdl", 0.70), ("jigsaws", "dae", 0.72)),
        *(("jigsaws", "dae_mt", 0.76), ("jigsaws", "core", 0.85), ("jigsaws", "dae_core", 0.86)),
        *(("aqa7", "usdl", 0.8102), ("aqa7", "core", 0.840), ("finediving", "core", 0.9061)),
    ],
)
def test_published_figures_are_found_by_the_methods_name(dataset, model, rho):
    found = published_of(model, DATASETS[dataset].published)
    assert found is not None
    assert found.rho == rho


def test_a_longer_name_is_another_method():
    other = PublishedResult(label="DAE-CoRe, published", rho=0.9, scale="final", source="x")
    assert published_of("core", [other]) is None
    assert published_of("dae_core", [other]) == other


def test_ceilings_of_people_stand_beside_the_rows():
    judges = {
        "ceiling_num_judges": 7,
        **{"ceiling_one_judge": 0.97, "ceiling_one_judge_low": 0.96},
        **{"ceiling_one_judge_high": 0.975, "ceiling_half_panel": 0.98},
        **{"ceiling_half_panel_low": 0.972, "ceiling_half_panel_high": 0.985},
    }
    cells = [cell("a", 0, rho=0.9), cell("b", 0, rho=0.9, **judges)]
    one, half = ceilings_of(cells)
    assert (one.rho, one.interval) == (0.97, (0.96, 0.975))
    assert (half.rho, half.interval) == (0.98, (0.972, 0.985))
    assert one.label == "Human ceiling: one judge against the other 6"
    assert ceilings_of(cells[:1]) == []
