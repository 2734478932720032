"""From the section `datasets.simdive` to videos and tables."""

from __future__ import annotations

from pathlib import Path

from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.datasets.simdive.generation import generate
from dae_aqa.datasets.simdive.options import SimDiveOptions
from dae_aqa.files.hashing import short_hash
from dae_aqa.files.whole import copy_file
from dae_aqa.running.progress import Progress
from dae_aqa.tables.dataset import DatasetTables
from dae_aqa.video import write

_DRAW_NOTHING = ("__init__.py", "baselines.py", "references.py")


def load(
    options: SimDiveOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    """Render the videos, or take those that were rendered before with the same options."""
    rendered_dir = cache_dir / short_hash(repr(options.pictured), _source_code())
    with Progress("rendering videos", total=options.num_videos, unit="video") as bar:
        annotations, truth = generate(
            options=options,
            videos_dir=rendered_dir,
            num_workers=download.num_workers,
            progress=bar.advance,
        )
    for video_id in sorted(set(annotations["video_id"])):
        copy_file(source=rendered_dir / f"{video_id}.mp4", target=videos_dir / f"{video_id}.mp4")
    return DatasetTables(annotations=annotations, truth=truth)


def _source_code() -> str:
    """Return the code that draws and writes: a changed one must not reuse its old videos."""
    files = {path for path in Path(__file__).parent.glob("*.py") if path.name not in _DRAW_NOTHING}
    return "\0".join(path.read_text("utf-8") for path in sorted(files | {Path(write.__file__)}))
