"""Stage 1: fetch or render the dataset's videos and bring its annotations into one table."""

from pathlib import Path

from dae_aqa.running.places import cache_dir, project_root
from dae_aqa.running.runtime import run_stage

VIDEOS_DIR = Path("data/videos")
ANNOTATIONS = Path("data/annotations.csv")
TRUTH = Path("data/truth.csv")
NOTES = Path("data/notes.csv")
MISSING_VIDEOS = Path("data/missing_videos.csv")
SOURCES = Path("data/sources.csv")


def main() -> None:
    """Write the videos and the tables of the chosen dataset."""
    # imported here: Ctrl-C meanwhile is then no traceback
    from dae_aqa.datasets import DATASETS
    from dae_aqa.files.outputs import refuse_foreign_files, replaced_folder
    from dae_aqa.params import load_params
    from dae_aqa.tables.annotations import write_annotations
    from dae_aqa.tables.sources import write_sources

    params = load_params()
    dataset = DATASETS[params.dataset]
    refuse_foreign_files(VIDEOS_DIR, root=project_root())
    with replaced_folder(VIDEOS_DIR) as videos_dir:
        tables = dataset.load(
            params.dataset_options,
            params.download,
            videos_dir,
            cache_dir(f"download/{params.dataset}"),
        )
    write_annotations(tables.annotations, ANNOTATIONS)
    tables.truth.to_csv(TRUTH, index=False, lineterminator="\n")
    tables.notes.to_csv(NOTES, index=False, lineterminator="\n")
    tables.missing_videos.to_csv(MISSING_VIDEOS, index=False, lineterminator="\n")
    write_sources(dataset.own_files(params.dataset_options), SOURCES, root=project_root())


if __name__ == "__main__":
    run_stage("download", main)
