"""Small simulator options for tests; not a test module."""

from dae_aqa.datasets.simdive.options import SimDiveOptions
from dae_aqa.options import parse_options


def simdive_options(**changes: object) -> SimDiveOptions:
    """Return options for a handful of thumbnail videos, with `changes`."""
    values: dict[str, object] = {
        "num_dives": 5,
        "dives_per_video": 2,
        "test_fraction": 0.34,
        "seed": 11,
        "width": 112,
        "height": 64,
        "fps": 25,
        "crf": 26,
        "noise_law": "monotone",
        "replay_probability": 0.5,
        "min_gap_seconds": 0.5,
        "max_gap_seconds": 0.8,
        "frame_numbering": "decoded",
        "scoring_rule": "diving",
    }
    return parse_options(SimDiveOptions, values | changes, source="simdive")
