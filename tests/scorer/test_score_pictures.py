"""Pictures of an answer, and answers as text."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from tests.scored_windows import small_trained_model, write_clip

from dae_aqa import Clip, Scorer
from dae_aqa.errors import OutputError
from dae_aqa.scorer.pictures import write_annotated, write_strip
from dae_aqa.scorer.texts import COLUMNS, score_lines, score_row


def test_the_strip_and_the_annotated_clip_show_the_frames(tmp_path: Path) -> None:
    scorer = Scorer([small_trained_model()])
    clip = Clip(video=write_clip(tmp_path / "clip.mp4"), difficulty=3.0)
    window = scorer.read(clip)
    (score,) = scorer.score_windows([window], difficulties=[3.0], names=["clip"])
    write_strip(window, score, tmp_path / "strip.png")
    height, width, _ = cv2.imread(str(tmp_path / "strip.png")).shape
    assert width == 6 * 160  # eleven frames in two rows
    assert height == 2 * round(40 * 160 / 48) + 36
    write_annotated(window, score, tmp_path / "clip out.mp4")
    video = cv2.VideoCapture(str(tmp_path / "clip out.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 11
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (48, 76)
    for write, name in ((write_strip, "strip.jpg"), (write_annotated, "clip.avi")):
        with pytest.raises(OutputError, match="give a name"):
            write(window, score, tmp_path / name)


def test_answers_as_text_and_row(tmp_path: Path) -> None:
    models = [small_trained_model(seed=seed) for seed in (0, 1)]
    score = Scorer(models).score(write_clip(tmp_path / "c.mp4", num_frames=5), difficulty=3.0)
    first, parts, note = score_lines(score)
    low, high = score.interval(0.9)
    assert first == (
        f"c.mp4: {score.mu:.2f} ± {score.sigma:.2f} points (90 %: {low:.1f} to {high:.1f}), "
        "difficulty 3"
    )
    assert f"{score.sigma_epistemic:.2f} how far they disagree" in parts
    assert note == "  note: the first frame of the video is repeated 6 times"
    row = score_row(score)
    assert list(row) == list(COLUMNS[:-1])
    assert (row["mu"], row["low_90"], row["high_90"]) == (score.mu, low, high)
    assert row["notes"] == "the first frame of the video is repeated 6 times"
    assert row["marks"] == ""
