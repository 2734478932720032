"""What the predictions table says of each sample's score, as distributions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dae_aqa.metrics.mixture import Mixture
from dae_aqa.scoring import Scale
from dae_aqa.tables.predictions import MIXTURE_COLUMN, mixture_of


def forecast_of(predictions: pd.DataFrame, *, scale: Scale = "final") -> Mixture:
    """Return the forecasts (N) of the checked table, on the scale of final or execution scores.

    They are the mixtures that the table holds, or else the Gaussians of mu and sigma.
    """
    suffix = "_execution" if scale == "execution" else ""
    if MIXTURE_COLUMN not in predictions.columns:
        return Mixture.gaussian(mu=predictions[f"mu{suffix}"], sigma=predictions[f"sigma{suffix}"])
    texts = [mixture_of(text) for text in predictions[MIXTURE_COLUMN]]
    num_components = max(components.shape[1] for components in texts)
    # what is missing to the largest number of components has weight 0
    table = np.zeros((3, len(texts), num_components))
    table[2] = 1.0
    for row, components in enumerate(texts):
        table[:, row, : components.shape[1]] = components
    forecast = Mixture(*table)
    if scale == "execution":
        return forecast
    return forecast.scaled(predictions["difficulty"].to_numpy(np.float64))
