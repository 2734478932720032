"""The table as Markdown, CSV and HTML."""

from __future__ import annotations

import io
import json
import re

import pandas as pd
import pytest
from tests.method_table.made_up import cell

from dae_aqa.datasets.base import PublishedResult
from dae_aqa.method_table.page import render_table
from dae_aqa.method_table.rows import blocks_of, ceilings_of
from dae_aqa.method_table.texts import (
    HEADINGS,
    PROTOCOL_TITLE,
    WARNING,
    csv_table,
    json_cells,
    markdown,
)

PUBLISHED = [
    PublishedResult(
        label="DAE-MT, published", rho=0.9452, scale="final", source="Zhang", rl2_x100=0.274
    )
]
WORDS = {"title": "2 methods on simdive", "unfinished": ["table-x-s0: no file (log: `dvc …`)"]}
JUDGES = {
    "ceiling_num_judges": 7,
    "ceiling_one_judge": 0.97,
    "ceiling_one_judge_low": 0.96,
    "ceiling_one_judge_high": 0.98,
}


@pytest.fixture(scope="module")
def table():
    costs = {"num_parameters": 825258, "gflop_per_performance": 0.2966, "coverage_90": 0.875}
    cells = [
        cell("mine", 0, rho=0.90, model="dae_mt", seconds=40.0, **JUDGES, **costs),
        cell("mine", 1, rho=0.92, model="dae_mt", seconds=50.0, mae=3.0, **costs),
        cell("other|row", 0, rho=0.5, error=40.0, nll=None),
        cell("peeking", 0, rho=0.99, protocol="as_published"),
    ]
    seeds = {"mine": [0, 1], "other|row": [0, 1], "peeking": [0]}
    return blocks_of(cells, seeds=seeds, published=PUBLISHED), ceilings_of(cells)


def cells_of(text: str, name: str) -> dict[str, str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    parts = [part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]
    return dict(zip(HEADINGS, parts, strict=True))


def test_json_holds_every_cell() -> None:
    cells = [cell("b", 1, rho=0.9), cell("a", 0, rho=0.8), cell("b", 0, rho=0.7)]
    told = json.loads(json_cells(cells))["cells"]
    assert [(each["row"], each["seed"]) for each in told] == [("a", 0), ("b", 0), ("b", 1)]
    assert [each["metrics"]["spearman"] for each in told] == [0.8, 0.7, 0.9]
    assert {each["protocol"] for each in told} == {"honest"}


def test_markdown_shows_means_deviations_costs_and_verdict(table):
    text = markdown(*table, **WORDS)
    mine = cells_of(text, "mine")
    assert mine["ρ"] == "0.910 ± 0.014"
    assert mine["MAE"] == "2.00 ± 1.41"
    assert mine["in 90 % interval"] == "87.5 ± 0.0 %"
    assert (mine["published ρ"], mine["published R-ℓ2 × 100"]) == ("0.9452", "0.274")
    assert (mine["parameters"], mine["GFLOP"]) == ("825,258", "0.297")
    assert (mine["training"], mine["scoring"]) == ("45 s", "–")
    assert mine["against the best"] == "best"
    other = cells_of(text, r"other\|row")
    assert (other["seeds"], other["NLL"], other["published ρ"]) == ("1 of 2", "–", "–")
    assert other["published R-ℓ2 × 100"] == "–"
    assert re.fullmatch(r"worse \(−0\.\d{3}, −0\.\d{3} to −0\.\d{3}\)", other["against the best"])
    assert cells_of(text, "Human ceiling: one judge against the other 6")["ρ"] == "0.970"


def test_the_second_protocol_stands_below_a_warning(table):
    text = markdown(*table, **WORDS)
    assert text.index("| mine") < text.index(WARNING) < text.index("| peeking")
    assert text.count("Human ceiling") == 1


def test_unfinished_cells_are_named(table):
    assert "- table-x-s0: no file (log: `dvc …`)" in markdown(*table, **WORDS)
    assert "table-x-s0: no file" in render_table(*table, **WORDS)


def test_csv_holds_all_digits(table):
    found = pd.read_csv(io.StringIO(csv_table(*table))).set_index("row")
    assert found.loc["mine", "spearman_mean"] == pytest.approx(0.91)
    assert found.loc["mine", "spearman_std"] == pytest.approx(0.0002**0.5)
    assert found.loc["mine", "published_source"] == "Zhang"
    assert found.loc["mine", "published_rl2_x100"] == 0.274
    assert found.loc["other|row", "missing_seeds"] == 1
    assert found.loc["other|row", "verdict"] == "worse"
    assert found.loc["other|row", "difference_high"] < 0
    assert found["protocol"].dropna().tolist() == ["honest", "honest", "as_published"]
    assert found.loc["Human ceiling: one judge against the other 6", "spearman_mean"] == 0.97


def test_the_page_is_self_contained_and_repeats(table):
    page = render_table(*table, **WORDS)
    assert page == render_table(*table, **WORDS)
    assert not re.findall(r'(?:src|href)="(?!#)[^"]+"', page)
    assert "other|row" in page
    assert WARNING in page
    assert page.count("<svg") == 2


def test_what_the_protocol_brings_stands_by_itself(table):
    cells = [
        cell("dae", seed, rho=rho, rl2_x100=1.0, settings={}, protocol=protocol)
        if protocol == "honest"
        else cell("peek|ing", seed, rho=rho + 0.02, rl2_x100=0.5, settings={}, protocol=protocol)
        for seed, rho in ((0, 0.90), (1, 0.91))
        for protocol in ("honest", "as_published")
    ]
    blocks = blocks_of(cells, seeds={"dae": [0, 1], "peek|ing": [0, 1]}, published=())
    text = markdown(blocks, [], **WORDS)
    _, _, section = text.partition(f"## {PROTOCOL_TITLE}")
    assert "| peek\\|ing | dae | 2 | +0.020 ± 0.000 | −0.500 ± 0.000 |" in section
    page = render_table(blocks, [], **WORDS)
    assert PROTOCOL_TITLE in page
    assert "+0.020 ± 0.000" in page
    found = pd.read_csv(io.StringIO(csv_table(blocks, []))).set_index("row")
    assert found.loc["peek|ing", "honest_row"] == "dae"
    assert found.loc["peek|ing", "spearman_above_honest_mean"] == pytest.approx(0.02)
    assert found.loc["peek|ing", "rl2_x100_above_honest_std"] == pytest.approx(0.0)
    assert found.loc["dae", ["honest_row", "spearman_above_honest_mean"]].isna().all()
    # where no row has an honest one like it, nothing is said
    assert PROTOCOL_TITLE not in markdown(*table, **WORDS)
    assert PROTOCOL_TITLE not in render_table(*table, **WORDS)
