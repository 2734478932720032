"""What the pipeline must know of a dataset; `dae_aqa.datasets.DATASETS` lists them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dae_aqa.datasets.options import DatasetOptions, DownloadOptions
from dae_aqa.scoring import Scale

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from dae_aqa.tables.dataset import DatasetTables

    FloatArray = npt.NDArray[np.float64]

Load = Callable[[Any, DownloadOptions, Path, Path], "DatasetTables"]


@dataclass(frozen=True, kw_only=True)
class BaselineLabel:
    """How the report shows one of a dataset's baselines.

    Attributes:
        label: how the page names it.
        scale: the score that it ranks.
        kind: `to beat` takes next to no insight; `shortcut` knows some true faults exactly, which
            shows how far a model could get with those alone; `limit` knows what no model can know.
        group: of the baselines with the same group only the best is shown; '' is no group.
    """

    label: str
    scale: Scale
    kind: Literal["to beat", "shortcut", "limit"]
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """Another's result on the dataset, which the report shows beside the model's own.

    Attributes:
        label: how the page names it.
        rho: Spearman's rank correlation with the judged score, on the official split.
        scale: the score that it ranks.
        source: where it is published.
        rl2_x100: R-l2 times 100 on the same samples; None where none is published.
    """

    label: str
    rho: float
    scale: Scale
    source: str
    rl2_x100: float | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset of the pipeline. Its functions import what they need when they are called.

    Attributes:
        options: the class of its section `datasets.<name>`.
        load: takes the section, the section `download`, the folder for the videos
            (`<video_id>.<suffix>`) and a cache folder of its own; fetches or renders the videos and
            returns the tables.
        own_files: takes the section and returns the user's files and folders of images that `load`
            reads.
        baselines: takes truth and annotations of the test samples and returns by name what a model
            is compared with: an array (N,) that ranks the samples as the execution score does, or
            the other way round. None where the dataset knows no truth.
        baseline_labels: how the report shows each of them, by name, in the page's order.
        published: what others have reached on the dataset.
        citation: what to cite for the dataset; '' where there is nothing.
        is_users_own: its column `split` is the user's choice, not a published protocol.
    """

    options: type[DatasetOptions]
    load: Load
    own_files: Callable[[Any], list[Path]] = lambda _: []
    baselines: Callable[[pd.DataFrame, pd.DataFrame], Mapping[str, FloatArray]] | None = None
    baseline_labels: Mapping[str, BaselineLabel] = field(default_factory=dict)
    published: tuple[PublishedResult, ...] = ()
    citation: str = ""
    is_users_own: bool = False
