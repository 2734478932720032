"""Stage 2: cut each sample's frames out of its video and pack them into one file."""

from pathlib import Path

from dae_aqa.running.places import cache_dir, user_path
from dae_aqa.running.runtime import run_stage

VIDEOS_DIR = Path("data/videos")
ANNOTATIONS = Path("data/annotations.csv")
FRAMES_DIR = Path("data/frames")
EXCLUDED = Path("data/excluded.csv")
NOTES = Path("data/extraction_notes.csv")


def main() -> None:
    """Pack every sample's frames; list what was excluded and what is odd."""
    # imported here: Ctrl-C meanwhile is then no traceback
    from dae_aqa.extraction.extract import extract_samples
    from dae_aqa.extraction.options import ExtractOptions
    from dae_aqa.params import load_params
    from dae_aqa.tables.annotations import read_annotations

    params = load_params()
    frames_root = params.dataset_options.frames_root
    report = extract_samples(
        annotations=read_annotations(ANNOTATIONS),
        videos_dir=VIDEOS_DIR,
        frames_dir=FRAMES_DIR,
        cache_dir=cache_dir("frames"),
        options=ExtractOptions(
            **dict(params.extract_frames), numbering=params.dataset_options.frame_numbering
        ),
        frames_root=None if frames_root is None else user_path(frames_root),
    )
    report.excluded.to_csv(EXCLUDED, index=False, lineterminator="\n")
    report.notes.to_csv(NOTES, index=False, lineterminator="\n")


if __name__ == "__main__":
    run_stage("extract_frames", main)
