"""Scoring clips with a trained model: the package's public interface.

from dae_aqa.scorer import Scorer

scorer = Scorer.load("models/model.pt")
score = scorer.score("dive.mp4", difficulty=3.2)
"""

from dae_aqa.scorer.places import file_below
from dae_aqa.scorer.score import Familiarity, Score
from dae_aqa.scorer.scorer import Clip, Outcome, Scorer
from dae_aqa.scorer.window import Limits, Stretch, View, Window, read_window

__all__ = [
    "Clip",
    "Familiarity",
    "Limits",
    "Outcome",
    "Score",
    "Scorer",
    "Stretch",
    "View",
    "Window",
    "file_below",
    "read_window",
]
