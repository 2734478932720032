"""Stage 3: assign samples to training, validation and test."""

from pathlib import Path

from dae_aqa.running.runtime import run_stage

ANNOTATIONS = Path("data/annotations.csv")
EXCLUDED = Path("data/excluded.csv")
SPLITS = Path("data/splits.csv")


def main() -> None:
    """Write the split table of all samples that have frames."""
    # imported here: Ctrl-C meanwhile is then no traceback
    import pandas as pd

    from dae_aqa.params import load_params
    from dae_aqa.splits.make import make_splits, write_splits
    from dae_aqa.tables.annotations import read_annotations

    params = load_params()
    annotations = read_annotations(ANNOTATIONS)
    excluded = pd.read_csv(EXCLUDED, dtype=str)
    splits = make_splits(
        annotations[~annotations["sample_id"].isin(excluded["sample_id"])],
        options=params.make_splits,
        is_users_own=params.is_split_users_own,
        seed=params.seed,
    )
    write_splits(splits, SPLITS)


if __name__ == "__main__":
    run_stage("make_splits", main)
