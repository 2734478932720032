"""The page: whole, self-contained, deterministic, safe, and honest also where the model is bad."""

import html
import html.parser
import re
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from dae_aqa.datasets import DATASETS
from dae_aqa.errors import EvaluationError
from dae_aqa.evaluation.references import references_of
from dae_aqa.metrics.summary import evaluate_predictions
from dae_aqa.report import KeptEpoch, ReportInputs, render_report, write_report
from dae_aqa.report.answers import Answer, answer_all
from dae_aqa.tables.predictions import build_predictions
from dae_aqa.training.history import COLUMNS, no_history

BASELINES = {"fault_splash": 0.6, "fault_toe": 0.1, "splash_entry": 0.85, "ceiling": 0.97}


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.full((9, 16, 3), 90, np.uint8))[1].tobytes()


def make_inputs(
    *,
    num: int = 80,
    noise: float = 1.0,
    sigma_factor: float = 1.0,
    one_sigma: bool = False,
    judges: bool = False,
    difficulty: bool = True,
    dataset: str = "simdive",
    baselines: dict[str, float] | None = None,
) -> ReportInputs:
    """A model whose errors follow its sigma; `noise` and `sigma_factor` spoil it."""
    rng = np.random.default_rng(0)
    sigma = np.full(num, 1.5) if one_sigma else rng.uniform(0.3, 3.0, num)
    execution = rng.uniform(10, 28, num)
    levels = rng.choice([2.0, 2.8, 3.2, 3.6], num) if difficulty else np.ones(num)
    annotations = pd.DataFrame(
        {
            "sample_id": [f"dive_{i:03d}" for i in range(num)],
            "video_id": "meet_01",
            "start_frame": np.arange(num) * 200,
            "end_frame": np.arange(num) * 200 + 103,
            "final_score": execution * levels,
            "difficulty": levels,
            "judge_scores": "8;7.5;8;8;8.5;8;8",
            "action_class": rng.choice(["107B", "305C"], num),
            "split": "test",
        }
    )
    predictions = build_predictions(
        samples=annotations,
        mu_execution=execution + noise * rng.normal(0, sigma),
        sigma_execution=sigma * sigma_factor,
        sigma_judges_execution=0.5 * sigma if judges else None,
        true_sigma_execution=sigma,
    )
    metrics = evaluate_predictions(
        predictions,
        num_bootstrap=200,
        seed=0,
        baselines=BASELINES if baselines is None else baselines,
    )
    return ReportInputs(
        dataset=dataset,
        model="dae_mt",
        backbone="small3d",
        checkpoint=None,
        predictions=predictions,
        metrics=metrics,
        part_metrics=None,
        parts_of={},
        references=references_of(DATASETS[dataset], metrics),
        annotations=annotations,
        truth=pd.DataFrame(
            {"sample_id": annotations["sample_id"], "fault_splash": rng.uniform(size=num)}
        ),
        excluded=pd.DataFrame({"sample_id": ["dive_900"], "reason": ["video is truncated"]}),
        notes=["One thing to know."],
        learning_curves=learning_curves(),
        kept_epochs={
            "": KeptEpoch(3, "chosen by the best rank correlation on 100 validation samples")
        },
        num_warmup_epochs=1,
        params={"lr": 0.002, "train": {"loss": {"name": "nll"}}, "evaluate": {"checkpoint": None}},
        thumbnails=lambda sample_id: [jpeg()] * 3,
        num_worst=3,
        num_train=400,
        num_val=100,
    )


def learning_curves() -> pd.DataFrame:
    epochs = np.arange(4)
    values = {
        "epoch": epochs,
        "lr": 1e-3,
        "train_loss": 1.0 / (1 + epochs),
        "val_mae": 5.0,
        "val_nll": 3.0,
        "val_spearman": [np.nan, 0.5, 0.7, 0.8],
        "val_spearman_execution": [np.nan, 0.4, 0.6, 0.7],
    }
    return pd.DataFrame(values, columns=list(COLUMNS))


def answers(inputs: ReportInputs) -> list[Answer]:
    return answer_all(inputs, inputs.samples())


class Reader(html.parser.HTMLParser):
    """Collects what a browser would: tags left open, ids, and everything that is referred to."""

    VOID = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        self.targets += [values[key] for key in ("href", "src", "xlink:href") if key in values]
        if tag == "img":
            self.images.append(values)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(make_inputs())


def test_the_page_is_well_formed_and_every_link_leads_somewhere(page):
    reader = Reader(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    inner = {target for target in reader.targets if target.startswith("#")}
    assert len(inner) > 80
    assert inner <= {f"#{name}" for name in reader.ids}


def test_the_page_needs_nothing_from_outside(page):
    reader = Reader(page)
    assert all(target.startswith(("#", "data:image/jpeg;base64,")) for target in reader.targets)
    assert not re.search(r"url\((?!#)|@import|<link|src=\"http", page)
    assert "default-src 'none'" in page


def test_the_same_inputs_give_the_same_bytes(page, tmp_path):
    write_report(make_inputs(), output=tmp_path / "reports" / "index.html")
    assert (tmp_path / "reports" / "index.html").read_text(encoding="utf-8") == page
    assert [entry.name for entry in (tmp_path / "reports").iterdir()] == ["index.html"]


def test_every_sample_stands_in_the_table_and_is_named_in_the_scatter(page):
    for index in range(80):
        assert page.count(f'<tr id="sample-dive_{index:03d}"') == 1
        assert f"<title>dive_{index:03d}: judged" in page.replace("svg:", "")


def test_the_worst_errors_are_shown_with_all_frames_and_marks(page):
    inputs = make_inputs()
    samples = inputs.samples()
    worst = samples.nlargest(3, "abs_error")["sample_id"]
    surprising = samples.nlargest(3, "surprise")["sample_id"]
    shown = set(worst) | set(surprising)
    assert set(re.findall(r'id="case-([\w.-]+)"', page)) == shown
    images = Reader(page).images
    assert len(images) == 3 * len(shown)
    assert all(image["alt"] for image in images)
    assert "8.0 · 7.5 · 8.0 · 8.0 · 8.5 · 8.0 · 8.0" in page


def test_figures_follow_the_theme_of_the_page(page):
    assert "var(--prediction)" in page
    assert not re.search(r"#01010[1-7]", page)


def test_exclusions_notes_parameters_and_provenance_are_there(page):
    for text in ("video is truncated", "One thing to know.", "train.loss.name", "num epochs"):
        assert text in page


def test_names_from_outside_are_escaped():
    inputs = make_inputs(num=20)
    inputs.annotations["action_class"] = "<script>alert(1)</script>"
    inputs.annotations["video_id"] = '"><img src=x onerror=alert(1)>'
    text = render_report(replace(inputs, notes=["<b>bold</b>"]))
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;b&gt;bold" in text


def test_published_figures_stand_beside_mtl_aqa_alone(page):
    inputs = make_inputs(num=30, dataset="mtl_aqa", baselines={})
    published = render_report(inputs)
    assert "0.9452" in published
    assert "0.9512 (R-ℓ2 × 100: 0.260), Yu et al." in published
    assert "Zhang et al." in published
    assert "on the test set; the figure of this report does not." in published
    assert "0.9452" not in page
    assert "the test set; the figure" not in page


def test_a_published_checkpoint_is_not_said_to_have_another_epoch():
    inputs = make_inputs(num=30, dataset="mtl_aqa", baselines={})
    text = render_report(replace(inputs, checkpoint="x.pth"))
    assert "Published figures choose their epoch on the test set.</p>" in text


def test_a_good_model_is_called_good():
    good, sure, _ = answers(make_inputs(num=300))
    assert (good.verdict, good.label) == ("good", "beats every simple baseline")
    assert "clearly better than splash alone (0.60)" in good.sentence
    assert (sure.verdict, sure.label) == ("good", "honest and telling")


def test_a_shortcut_that_knows_the_truth_is_no_baseline_to_beat():
    good, _, _ = answers(make_inputs(baselines={"splash_entry": 0.999, "fault_splash": 0.5}))
    assert good.verdict == "good"


def test_a_bad_model_is_called_bad():
    good, _, _ = answers(make_inputs(noise=30.0))
    assert (good.verdict, good.label) == ("poor", "beaten by a simple baseline")
    assert "no better than" in good.sentence


def test_a_model_within_chance_of_its_baseline_is_not_called_better():
    inputs = make_inputs()
    rho = inputs.number("spearman_execution")
    near = make_inputs(baselines={"fault_splash": rho - 0.002})
    good, _, _ = answers(near)
    assert (good.verdict, good.label) == ("mixed", "not clearly above a baseline")


@pytest.mark.parametrize(("factor", "word"), [(0.2, "overconfident"), (5.0, "too cautious")])
def test_intervals_that_do_not_hold_are_called_so(factor, word):
    _, sure, _ = answers(make_inputs(sigma_factor=factor))
    assert sure.verdict == "mixed"
    assert word in sure.label
    assert word in sure.sentence


def test_the_group_where_the_errors_lie_is_named():
    inputs = make_inputs(num=200)
    low = inputs.predictions["final_score"] < inputs.predictions["final_score"].quantile(0.2)
    shift = low * 20.0
    table = inputs.predictions.assign(mu=inputs.predictions["mu"] + shift)
    table["mu_execution"] = table["mu"] / table["difficulty"]
    _, _, wrong = answers(replace(inputs, predictions=table))
    assert wrong.label == "one group stands out"
    assert re.search(r"Most with judged scores of [\d.]+ to [\d.]+ \(40 samples\)", wrong.sentence)
    assert "overrates by" in wrong.sentence


@pytest.mark.parametrize(("num", "group"), [(80, "tenth"), (10, "sample"), (3, "sample")])
def test_the_judges_part_of_the_doubt_is_drawn_where_the_model_tells_it(num, group):
    text = render_report(make_inputs(num=num, judges=True))
    assert f"mean predicted execution score of each {group}" in text
    assert "scatter among themselves make 25 % of the predicted variance" in text
    assert "judges&#39; σ against true σ" in text
    assert "of the doubt is the judges" not in render_report(make_inputs(num=num))


def test_one_sigma_for_all_is_told_that_it_does_not_know_its_errors():
    """As `mlp` has it, in a sport without difficulty."""
    inputs = make_inputs(one_sigma=True, difficulty=False)
    _, sure, _ = answers(inputs)
    assert (sure.verdict, sure.label) == ("mixed", "honest, but not telling")
    assert "Its doubt does not differ enough between samples" in sure.sentence
    text = render_report(inputs)
    assert "Is it wrong where it says it is unsure?" not in text
    assert "undefined: 9 of the 10 quantile bins of sigma are empty" in text
    assert "largest σ leaves the mean error of the rest as it is." in text
    assert not re.search(r"\bnan\b", re.sub(r'base64,[^"]*', "", text), re.IGNORECASE)


@pytest.mark.parametrize("num", [1, 2, 6])
def test_a_tiny_test_set_still_makes_a_page(num):
    inputs = make_inputs(num=num, difficulty=False)
    no_truth = inputs.truth.iloc[:0]
    text = render_report(
        replace(
            inputs,
            learning_curves=no_history(),
            kept_epochs={},
            thumbnails=lambda sample_id: [],
            truth=no_truth,
        )
    )
    assert Reader(text).open == []
    assert "<img" not in text
    assert "Difficulty</th>" not in text


def few(num: int, **changes: object) -> ReportInputs:
    """A model trained on a handful: nothing chosen, rho of the validation samples undefined."""
    inputs = make_inputs(num=num, **changes)
    curves = inputs.learning_curves.assign(val_spearman=np.nan, val_spearman_execution=np.nan)
    return replace(
        inputs,
        learning_curves=curves,
        kept_epochs={"": KeptEpoch(3, "the last one, since 1 validation sample cannot choose")},
        num_train=7,
        num_val=1,
        notes=[],
    )


@pytest.mark.parametrize("num", [1, 2, 8, 10])
def test_a_handful_is_said_to_show_nothing_but_itself(num):
    good, sure, wrong = answers(few(num))
    assert (good.verdict, good.label, good.figure) == ("unknown", "too few to rank", "–")
    assert f"a rank correlation needs at least 11 samples, got {num}. It misses" in good.sentence
    assert (sure.verdict, sure.label) == ("unknown", "too few to tell")
    assert (wrong.verdict, wrong.label) == ("unknown", "too few to compare")
    text = re.sub(r"\s+", " ", html.unescape(render_report(few(num))))
    assert "Trained on 7, with 1 more for validation." in text
    assert f"{num} test sample{'s' if num > 1 else ''} cannot show: ranking (11 needed)" in text
    assert "Epoch 3 is evaluated: the last one, since 1 validation sample cannot choose." in text
    assert ">kept: 3<" in text
    for claim in (
        *("at their word", "honest and", "overconfident.", "ρ = ", "95 % interval", "clear trend"),
        *("orange line", "Handing over", "Rank correlation on the validation", "as it should"),
        *("simple baselines", "No fault", "evenly spread", " nan"),
    ):
        assert claim not in text, claim


@pytest.mark.parametrize(
    ("num", "held", "verdict", "figure", "range_"),
    [
        # binomial: 4 or fewer of 8 lie within with probability 0.5 %, 5 or fewer with 3.8 %
        (8, 5, "unknown", "5 of 8", "5 to 8"),
        (8, 4, "poor", "4 of 8", "5 to 8"),
        (1, 0, "unknown", "0 of 1", "0 to 1"),
        (35, 35, "unknown", "35 of 35", "28 to 35"),
    ],
)
def test_a_handful_can_show_that_intervals_are_too_narrow(num, held, verdict, figure, range_):
    inputs = few(num)
    table = inputs.predictions.copy()
    inside = np.arange(num) < held
    table["mu"] = table["final_score"] + np.where(inside, 1.64, 1.65) * table["sigma"]
    table["mu_execution"] = table["mu"] / table["difficulty"]
    _, sure, _ = answers(replace(inputs, predictions=table))
    assert (sure.verdict, sure.figure) == (verdict, figure)
    assert f"Of an honest model they would hold {range_}" in sure.sentence
    assert ("it is overconfident" in sure.sentence) == (verdict == "poor")


def test_words_follow_the_number_of_samples():
    """36 samples can show too wide intervals, 50 groups, 140 a coverage within 5 %."""
    _, sure, wrong = answers(make_inputs(num=40))
    assert sure.label == "honest"
    assert "as right as so few samples can show" in sure.sentence
    assert "more, so few samples cannot tell" in sure.sentence
    assert wrong.label == "too few to compare"
    _, sure, wrong = answers(make_inputs(num=80))
    assert "as right as so few samples can show" in sure.sentence
    assert wrong.label != "too few to compare"
    _, sure, _ = answers(make_inputs(num=300))
    assert "at their word" in sure.sentence
    assert "cannot show" not in render_report(make_inputs(num=80))


def test_an_order_that_could_be_chance_is_called_so():
    good, _, _ = answers(make_inputs(num=12, noise=3.0, difficulty=False, baselines={}))
    assert (good.verdict, good.label) == ("mixed", "could be chance")
    assert "so that its order could be chance" in good.sentence


def test_the_sizes_of_all_splits_stand_at_the_top(page):
    head = re.sub(r"\s+", " ", page[page.index("<header>") : page.index("</header>")])
    assert "80 test performances" in head
    assert "Trained on 400, with 100 more for validation." in head
    text = render_report(replace(make_inputs(), checkpoint="x.pth"))
    assert "Trained on" not in text


def test_constant_predictions_make_an_honest_page():
    inputs = make_inputs(difficulty=False)
    table = inputs.predictions.assign(mu=20.0, mu_execution=20.0)
    metrics = evaluate_predictions(table, num_bootstrap=200, seed=0)
    inputs = replace(inputs, predictions=table, metrics=metrics)
    good, _, _ = answers(inputs)
    assert good.verdict == "unknown"
    assert "all predictions are equal" in good.sentence
    assert Reader(render_report(inputs)).open == []


def test_predictions_of_another_dataset_are_refused():
    inputs = make_inputs(num=10)
    with pytest.raises(
        EvaluationError, match=r"1 predicted sample\(s\) are not in the annotations"
    ):
        render_report(replace(inputs, annotations=inputs.annotations.iloc[1:]))


def test_film_strips_are_jpeg():
    inputs = replace(make_inputs(num=10), thumbnails=lambda sample_id: [b"GIF89a"])
    with pytest.raises(EvaluationError, match=r"film strip of sample 'dive_\d+' needs JPEG"):
        render_report(inputs)


def test_a_failed_report_leaves_the_earlier_one_untouched(tmp_path):
    output = tmp_path / "index.html"
    output.write_text("earlier")
    inputs = make_inputs(num=10)
    with pytest.raises(EvaluationError, match="are not in the annotations"):
        write_report(replace(inputs, annotations=inputs.annotations.iloc[1:]), output=output)
    assert output.read_text() == "earlier"
