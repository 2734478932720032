"""Stage 2: cut each sample's frames out of its video and pack them into one file."""

from dataclasses import asdict
from pathlib import Path

from dae_aqa.runtime import cache_dir, run_stage

VIDEOS_DIR = Path("data/videos")
ANNOTATIONS = Path("data/annotations.csv")
FRAMES_DIR = Path("data/frames")
EXCLUDED = Path("data/excluded.csv")
NOTES = Path("data/extraction_notes.csv")


def main() -> None:
    """Pack every sample's frames; list what was excluded and what is odd."""
    # imported here: Ctrl-C meanwhile is then no traceback
    from dae_aqa.annotations import read_annotations
    from dae_aqa.frames.extract import ExtractOptions, extract_samples
    from dae_aqa.params import load_params

    params = load_params()
    report = extract_samples(
        annotations=read_annotations(ANNOTATIONS),
        videos_dir=VIDEOS_DIR,
        frames_dir=FRAMES_DIR,
        cache_dir=cache_dir("frames"),
        options=ExtractOptions(
            **asdict(params.extract_frames), numbering=params.dataset_params.frame_numbering
        ),
    )
    report.excluded.to_csv(EXCLUDED, index=False, lineterminator="\n")
    report.notes.to_csv(NOTES, index=False, lineterminator="\n")


if __name__ == "__main__":
    run_stage("extract_frames", main)
