"""The page where a dataset has several parts: tasks, classes or folds."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from tests.report.test_report import make_inputs

from dae_aqa.metrics.parts import evaluate_parts
from dae_aqa.report import KeptEpoch, ReportInputs, render_report
from dae_aqa.report.accuracy import accuracy_figures
from dae_aqa.report.answers import answer_all
from dae_aqa.report.references import Reference

TWELVE = [f"{task}-fold{fold}" for task in ("knots", "needles", "sutures") for fold in range(1, 5)]
SIX = ["diving", "gym_vault", "ski", "snowboard", "sync_3m", "sync_10m"]
FIVE_FOLDS = [f"fold{fold}" for fold in range(1, 6)]


def inputs_of(parts: list[str], *, each: int, is_published: bool = True) -> ReportInputs:
    """The inputs of as many parts with so many test samples each."""
    whole = make_inputs(num=each * len(parts))
    names = [name for name in parts for _ in range(each)]
    part_metrics = evaluate_parts(
        whole.predictions.assign(part=names),
        sizes={name: {"num_train": 30, "num_val": 6} for name in parts},
        is_published=is_published,
    )
    curves = [whole.learning_curves.assign(part=name) for name in parts]
    return replace(
        whole,
        part_metrics=part_metrics,
        parts_of=dict(zip(whole.predictions["sample_id"], names, strict=True)),
        kept_epochs={name: KeptEpoch(3, "the last one") for name in parts},
        learning_curves=pd.concat(curves, ignore_index=True),
    )


@pytest.mark.parametrize(("parts", "each"), [(TWELVE, 9), (FIVE_FOLDS, 2), (SIX, 28)])
def test_every_part_is_on_the_page(parts, each):
    inputs = inputs_of(parts, each=each)
    page = render_report(inputs)
    section = page.split('id="parts"')[1].split("</section>")[0]
    assert all(f'<th scope="row">{name}</th>' in section for name in parts)
    assert "The parts side by side" in section
    rows = page.split('<table id="predictions">')[1].split("</table>")[0]
    assert all(rows.count(f"<td>{name}</td>") == each for name in parts)
    for card in page.split('<li class="case" id="case-')[1:]:
        assert f"<span>part {inputs.parts_of[card.split(chr(34))[0]]}</span>" in card


def test_the_head_answers_with_the_mean_over_tasks():
    inputs = inputs_of(SIX, each=28)
    mean = inputs.part_metrics.mean["spearman"]
    good = answer_all(inputs, inputs.samples())[0]
    assert good.figure == f"{mean:.2f}"
    assert f"Its mean ρ over 6 tasks is {mean:.3f}. Of all tasks together, it ranks" in (
        good.sentence
    )


def test_folds_of_two_show_no_rank_correlation():
    inputs = inputs_of(FIVE_FOLDS, each=2, is_published=False)
    assert inputs.mean_over_tasks is None
    page = render_report(inputs)
    assert "mean absolute error of the part" in page
    assert "There is no mean rank correlation: 5 of 5 have none." in page
    assert "a rank correlation needs at least 11 samples, got 2" in page


def test_published_figures_stand_beside_the_mean_over_tasks():
    published = Reference(
        label="CoRe, published", rho=0.84, scale="final", kind="published", source="ICCV 2021"
    )
    inputs = replace(inputs_of(SIX, each=28), references=[published])
    (figure,) = (each for each in accuracy_figures(inputs, inputs.samples()) if "CoRe" in each.svg)
    assert f"This model, mean over tasks {inputs.mean_over_tasks:.3f}" in figure.svg
    assert "is to be compared with the mean over tasks" in figure.reading


def test_one_part_shows_nothing_of_parts():
    page = render_report(make_inputs())
    assert 'id="parts"' not in page
    assert "<span>part " not in page
