"""What the report says of the data: no note vanishes on the way from the stages before."""

import pandas as pd

from dae_aqa.scored_report import EvaluationTables, note_sentences


def tables(**changed: pd.DataFrame) -> EvaluationTables:
    empty = {name: pd.DataFrame() for name in EvaluationTables.__dataclass_fields__}
    empty["notes"] = pd.DataFrame(columns=["sample_id", "kind", "detail"])
    empty["extraction_notes"] = pd.DataFrame(columns=["sample_id", "video_id", "note"])
    empty["missing_videos"] = pd.DataFrame(columns=["video_id"])
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


def test_a_note_on_a_whole_video_names_the_video():
    noted = pd.DataFrame([("", "03", "variable rate")], columns=["sample_id", "video_id", "note"])
    assert note_sentences(tables(extraction_notes=noted)) == [
        "extraction: 1 note(s), e.g. 03: variable rate"
    ]
