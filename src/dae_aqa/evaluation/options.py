"""The section `evaluate`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dae_aqa.options import CountInt, Options, UserPath


class EvaluateOptions(Options):
    """Metrics and report.

    Attributes:
        checkpoint: a model that is evaluated in place of one trained here, or None: a model file of
            this project, a folder of them, or a checkpoint of the released DAE code.
        num_bootstrap: resamples of the interval of rho.
        num_worst: samples of each kind that the report shows.
    """

    checkpoint: UserPath | None
    num_bootstrap: Annotated[int, Field(ge=100, le=1_000_000)]
    num_worst: CountInt
