"""Files that somebody else names: only below a folder that the operator has chosen."""

from __future__ import annotations

from pathlib import Path

from dae_aqa.errors import ScoreInputError
from dae_aqa.video.probe import VIDEO_SUFFIXES


def file_below(root: Path, name: str) -> Path:
    """Return the video `name` below `root`, after every link in it has been followed.

    Args:
        root: the folder.
        name: relative to it, or absolute and below it.

    Raises:
        ScoreInputError: there is no such video below the folder. The message does not say whether
            a file lies elsewhere.
    """
    refused = ScoreInputError(
        f"{name!r} is no video in the folder that this scorer may read; give a path relative to "
        f"it, of a file ending in {', '.join(VIDEO_SUFFIXES[:5])} …"
    )
    if not name or "\0" in name or "://" in name:
        raise refused
    try:
        top = root.resolve(strict=True)
        path = (top / name).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise refused from error
    is_below = path.is_relative_to(top) and ".." not in Path(name).parts
    if not is_below or not path.is_file() or path.suffix.lower() not in VIDEO_SUFFIXES:
        raise refused
    return path
