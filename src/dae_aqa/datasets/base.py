"""What the pipeline must know of a dataset; `dae_aqa.datasets.DATASETS` lists them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dae_aqa.datasets.options import DatasetOptions, DownloadOptions
from dae_aqa.running.runtime import project_root

if TYPE_CHECKING:
    import pandas as pd

    from dae_aqa.tables.dataset import DatasetTables

Load = Callable[[Any, DownloadOptions, Path, Path], "DatasetTables"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset of the pipeline. Its functions import what they need when they are called.

    Attributes:
        options: the class of its section `datasets.<name>`.
        load: takes the section, the section `download`, the folder for the videos
            (`<video_id>.<suffix>`) and a cache folder of its own; fetches or renders the videos and
            returns the tables.
        own_files: takes the section and returns the user's files that `load` reads.
        baselines: takes truth and annotations of the test samples and returns rank correlations to
            compare with, by name; None where the dataset knows no truth.
        is_users_own: its column `split` is the user's choice, not a published protocol.
    """

    options: type[DatasetOptions]
    load: Load
    own_files: Callable[[Any], list[Path]] = lambda _: []
    baselines: Callable[[pd.DataFrame, pd.DataFrame], dict[str, float]] | None = None
    is_users_own: bool = False


def user_path(text: str) -> Path:
    """Return a path that the user gave; relative ones start at the real repository root.

    A queued experiment runs in a copy of the repository, where the user's own files are not.
    """
    return project_root() / Path(text).expanduser()
