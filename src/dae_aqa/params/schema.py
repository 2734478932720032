"""The whole of `params.yaml`: the options of all rooms, and what they must fulfil together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import create_model

from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.options import DatasetOptions, DownloadOptions
from dae_aqa.evaluation.options import EvaluateOptions
from dae_aqa.extraction.options import ExtractSection
from dae_aqa.files.yaml_file import read_yaml
from dae_aqa.options import Options, one_of, parse_options
from dae_aqa.packs.options import FrameOptions, NumberedFrameOptions
from dae_aqa.params.rules import CROSS_RULES
from dae_aqa.splits.options import SplitOptions
from dae_aqa.training.options import TrainingOptions

PARAMS_FILE = Path("params.yaml")

if TYPE_CHECKING:
    DatasetsSection = Options
else:  # one section per dataset; only the chosen one is used
    DatasetsSection = create_model(
        "DatasetsSection",
        __base__=Options,
        **{name: (dataset.options, ...) for name, dataset in DATASETS.items()},
    )


class Params(TrainingOptions):
    """`params.yaml`, checked.

    Attributes:
        dataset: which of the sections in `datasets` is used.
        download: the section `download`.
        extract_frames: the section `extract_frames`.
        make_splits: the section `make_splits`.
        evaluate: the section `evaluate`.
        datasets: a section for each dataset.
    """

    RULES = (*TrainingOptions.RULES, *CROSS_RULES)

    dataset: Annotated[str, one_of(DATASETS)]
    download: DownloadOptions
    extract_frames: ExtractSection
    make_splits: SplitOptions
    evaluate: EvaluateOptions
    datasets: DatasetsSection

    @property
    def dataset_options(self) -> Any:
        """The section of the chosen dataset, an instance of its `DatasetOptions`."""
        section: DatasetOptions = getattr(self.datasets, self.dataset)
        return section

    @property
    def is_split_users_own(self) -> bool:
        """Whether the dataset's column `split` is the user's choice; `dataset` alone decides it."""
        return DATASETS[self.dataset].is_users_own

    @property
    def used(self) -> dict[str, Any]:
        """All values that this run is told, nested, without the sections of other datasets."""
        values = {"dataset": self.dataset} | self.model_dump()
        values["datasets"] = {self.dataset: values["datasets"][self.dataset]}
        return values

    @property
    def frames(self) -> NumberedFrameOptions:
        """How the frames of the dataset's samples are made."""
        section = {name: getattr(self.extract_frames, name) for name in FrameOptions.model_fields}
        return NumberedFrameOptions(**section, numbering=self.dataset_options.frame_numbering)

    @property
    def training(self) -> TrainingOptions:
        """What a training is told, without the other sections."""
        return TrainingOptions(
            **{name: getattr(self, name) for name in TrainingOptions.model_fields}
        )


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check `path`.

    Raises:
        ParamsError: the file is missing or no YAML mapping, a key is unknown or missing, a value
            has a wrong type or range, or values do not fit together. Every fault in the file is
            named, not only the first.
    """
    return parse_options(Params, read_yaml(path), source=str(path))
