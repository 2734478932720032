"""What the report says of the data: no note vanishes, and the same data give the same bytes."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from tests.packed_samples import MARGIN, write_pack
from tests.report_in_folder import made_up_inputs, write_report_in

from dae_aqa.clips.layout import PUBLISHED_LAYOUT
from dae_aqa.evaluation.figures import result_line
from dae_aqa.evaluation.notes import note_sentences
from dae_aqa.evaluation.report_inputs import _thumbnails
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.metrics.parts import PartMetrics
from dae_aqa.tables.dataset import Note, missing_table, no_truth, notes_table
from dae_aqa.training.history import no_history


def tables(**changed: pd.DataFrame) -> EvaluationTables:
    empty = {
        "annotations": pd.DataFrame(columns=["sample_id", "split", "final_score", "action_class"]),
        "splits": pd.DataFrame(columns=["sample_id", "split", "part"]),
        "truth": no_truth(),
        "notes": notes_table([]),
        "extraction_notes": pd.DataFrame(columns=["sample_id", "video_id", "note"]),
        "excluded": pd.DataFrame(columns=["sample_id", "reason"]),
        "missing_videos": missing_table([]),
        "history": no_history(),
    }
    return EvaluationTables(**empty | changed)


def sentences_of(**changed: pd.DataFrame) -> list[str]:
    return list(
        note_sentences(tables(**changed), checkpoint=None, layout=PUBLISHED_LAYOUT, num_leaked=0)
    )


def test_nothing_to_say():
    assert sentences_of() == []


def test_an_imported_checkpoint_comes_first():
    missing = pd.DataFrame({"video_id": ["07"]})
    first, second = note_sentences(
        tables(missing_videos=missing),
        checkpoint="published.pth",
        layout=PUBLISHED_LAYOUT,
        num_leaked=0,
    )
    assert "not trained here: it is the imported checkpoint published.pth." in first
    assert second == "1 video(s) could not be had: 07."


def test_every_table_of_notes_is_told():
    notes = [("01_001", "score_differs", "10 and 11"), ("01_002", "score_differs", "5 and 6")]
    sentences = sentences_of(
        notes=notes_table([Note(*note) for note in notes]),
        extraction_notes=pd.DataFrame(
            [
                ("02_001", "02", "its last frame is repeated 3 times"),
                ("", "03", "variable rate"),
            ],
            columns=["sample_id", "video_id", "note"],
        ),
        missing_videos=pd.DataFrame({"video_id": ["07", "09"]}),
    )
    assert sentences == [
        "score differs: 2 sample(s), e.g. 01_001: 10 and 11",
        "extraction: 2 note(s), e.g. 02_001: its last frame is repeated 3 times",
        "2 video(s) could not be had: 07, 09.",
    ]


def test_a_draw_over_the_split_of_the_dataset_is_told():
    """Of three test samples of its own one trains, one is tested and one had no frames."""
    own = [("a", "test"), ("b", "test"), ("c", "test"), ("d", "train")]
    drawn = [("a", "train"), ("b", "test"), ("d", "val")]
    columns = ["sample_id", "split"]
    splits = pd.DataFrame(drawn, columns=columns).assign(part="")
    annotations = pd.DataFrame(own, columns=columns).assign(final_score=range(4), action_class="")
    (sentence,) = sentences_of(annotations=annotations, splits=splits)
    assert sentence.startswith("1 of the dataset's own 3 test samples trained or validated here")
    kept = splits.replace({"sample_id": {"a": "b", "b": "a"}}).assign(split=["test", "test", "val"])
    assert sentences_of(annotations=annotations, splits=kept) == []


def test_equal_scores_and_classes_of_one_sample_are_told():
    annotations = pd.DataFrame(
        {
            "sample_id": list("abcdef"),
            "split": "",
            "final_score": [7.5, 7.5, 7.5, 3.0, 4.0, 9.0],
            "action_class": ["107B", "107B", "407C", "", "", "5253B"],
        }
    )
    splits = pd.DataFrame(
        {"sample_id": list("abcdef"), "split": ["train"] * 3 + ["test"] * 3, "part": "fold1"}
    )
    assert sentences_of(annotations=annotations, splits=splits) == [
        "all 3 train samples of fold1 have the score 7.5.",
        "2 of 3 action classes have one sample: 407C, 5253B. Where it is tested, the model has "
        "seen no other of its class.",
    ]


def test_the_result_in_a_line():
    values = {"num_test": 360, "spearman": 0.89123, "spearman_execution": 0.8476, "mae": 5.504}
    assert result_line(values, None) == (
        "360 sample(s), rho 0.891 on the final score, 0.848 on the execution score, mean absolute "
        "error 5.50 points"
    )
    values |= {"num_test": 2, "spearman": None, "spearman_reason": "it needs more"}
    assert result_line(values | {"spearman_execution": None}, None) == (
        "2 sample(s), no rho (it needs more), mean absolute error 5.50 points"
    )


def test_the_result_of_parts_in_a_line():
    values = {"num_test": 30, "spearman": 0.5, "spearman_execution": 0.5, "mae": 4.0}
    pooled = result_line(values, None)
    none = {"spearman": None, "spearman_reason": "2 of 5 have none"}
    folds = PartMetrics({f"fold{fold}": {} for fold in range(5)}, {}, none)
    assert result_line(values, folds) == f"{pooled}; 5 folds, no mean rho"
    tasks = PartMetrics({"a": {}, "b": {}}, {"a": {}, "b": {}}, {"spearman": 0.8126})
    assert result_line(values, tasks) == f"2 parts, mean rho 0.813 over tasks; pooled: {pooled}"


def test_a_note_on_a_whole_video_names_the_video():
    noted = pd.DataFrame([("", "03", "variable rate")], columns=["sample_id", "video_id", "note"])
    assert sentences_of(extraction_notes=noted) == ["extraction: 1 note(s), e.g. 03: variable rate"]


def test_film_strips_show_the_window_from_its_first_to_its_last_frame(tmp_path):
    flat = np.full((28 + 2 * MARGIN, 40, 48, 3), 1, np.uint8)
    frames = flat * (8 * np.arange(len(flat), dtype=np.uint8))[:, None, None, None]
    write_pack(tmp_path, "s1", frames)
    strip = _thumbnails(tmp_path, "s1")
    shown = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in strip]
    positions = [float(image.mean()) / 8 - MARGIN for image in shown]
    assert positions == pytest.approx([0, 3, 6, 9, 12, 15, 18, 21, 24, 27], abs=0.2)


def test_an_imported_checkpoint_is_told_by_the_page(tmp_path, repo_root):
    inputs = made_up_inputs(tmp_path, params=repo_root / "params.yaml", checkpoint="published.pth")
    assert inputs.provenance()["imported checkpoint"] == "published.pth"
    assert inputs.notes[0].startswith("The model was not trained here")
    assert [note.split(":")[0] for note in inputs.notes[1:]] == ["a", "b"]


def test_the_report_is_the_same_in_another_folder_commit_and_experiment(
    tmp_path, repo_root, monkeypatch
):
    """And where sets have another order, as they do in each process."""
    here, there = (tmp_path / name for name in ("here", "there, elsewhere"))
    for folder, revision in ((here, "first"), (there, "second")):
        folder.mkdir()
        git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org"]
        for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", revision]):
            subprocess.run([*git, *command], check=True)
    monkeypatch.chdir(here)
    write_report_in(here, params=repo_root / "params.yaml")
    subprocess.run(
        [sys.executable, "-m", "tests.report_in_folder", there, repo_root / "params.yaml"],
        cwd=there,
        env=os.environ
        | {"DVC_EXP_NAME": "tall-ruse", "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
        | {"PYTHONPATH": os.pathsep.join([str(repo_root), *sys.path])},
        check=True,
    )
    pages = [(folder / "index.html").read_bytes() for folder in (here, there)]
    assert pages[0] == pages[1]
    assert str(tmp_path).encode() not in pages[0]
