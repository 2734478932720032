"""What the report says of the data: no note vanishes on the way from the stages before."""

import pandas as pd

from dae_aqa.scored_report import EvaluationTables, note_sentences, result_line


def tables(**changed: pd.DataFrame) -> EvaluationTables:
    empty = {name: pd.DataFrame() for name in EvaluationTables.__dataclass_fields__}
    empty["notes"] = pd.DataFrame(columns=["sample_id", "kind", "detail"])
    empty["extraction_notes"] = pd.DataFrame(columns=["sample_id", "video_id", "note"])
    empty["missing_videos"] = pd.DataFrame(columns=["video_id"])
    empty["annotations"] = empty["splits"] = pd.DataFrame(columns=["sample_id", "split"])
    return EvaluationTables(**empty | changed)


def test_nothing_to_say():
    assert note_sentences(tables()) == []


def test_every_table_of_notes_is_told():
    notes = [("01_001", "score_differs", "10 and 11"), ("01_002", "score_differs", "5 and 6")]
    sentences = note_sentences(
        tables(
            notes=pd.DataFrame(notes, columns=["sample_id", "kind", "detail"]),
            extraction_notes=pd.DataFrame(
                [
                    ("02_001", "02", "its last frame is repeated 3 times"),
                    ("", "03", "variable rate"),
                ],
                columns=["sample_id", "video_id", "note"],
            ),
            missing_videos=pd.DataFrame({"video_id": ["07", "09"]}),
        )
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
    splits = pd.DataFrame(drawn, columns=columns)
    (sentence,) = note_sentences(
        tables(annotations=pd.DataFrame(own, columns=columns), splits=splits)
    )
    assert sentence.startswith("1 of the dataset's own 3 test samples trained or validated here")
    kept = splits.replace({"sample_id": {"a": "b", "b": "a"}}).assign(split=["test", "test", "val"])
    assert note_sentences(tables(annotations=pd.DataFrame(own, columns=columns), splits=kept)) == []


def test_the_result_in_a_line():
    values = {"num_test": 360, "spearman": 0.89123, "spearman_execution": 0.8476, "mae": 5.504}
    assert result_line(values) == (
        "360 sample(s), rho 0.891 on the final score, 0.848 on the execution score, mean absolute "
        "error 5.50 points"
    )
    values |= {"num_test": 2, "spearman": None, "spearman_reason": "it needs more"}
    assert result_line(values | {"spearman_execution": None}) == (
        "2 sample(s), no rho (it needs more), mean absolute error 5.50 points"
    )


def test_a_note_on_a_whole_video_names_the_video():
    noted = pd.DataFrame([("", "03", "variable rate")], columns=["sample_id", "video_id", "note"])
    assert note_sentences(tables(extraction_notes=noted)) == [
        "extraction: 1 note(s), e.g. 03: variable rate"
    ]
