"""Annotations tables for extraction tests."""

import pandas as pd


def table(*rows: tuple[str, str, int, int]) -> pd.DataFrame:
    """Return an annotations table of (sample_id, video_id, start_frame, end_frame)."""
    frame = pd.DataFrame(rows, columns=["sample_id", "video_id", "start_frame", "end_frame"])
    return frame.assign(
        final_score=50.0, difficulty=1.0, judge_scores="", action_class="", split=""
    )
