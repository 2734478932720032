"""simdive: simulated broadcasts of platform diving, the embedded data set.

`generate` writes untrimmed H.264 videos and returns their annotations together with the truth that
only a simulator knows. The physics, the faults and the calibration are told in `docs/simdive.md`.
"""

from dae_aqa.datasets.simdive.baselines import FAULT_PREFIX, single_fault_baselines
from dae_aqa.datasets.simdive.dives import FAULT_WEIGHTS, Dive, simulate_dives
from dae_aqa.datasets.simdive.generation import generate, tables
from dae_aqa.datasets.simdive.options import NOISE_LAWS, NoiseLaw, SimDiveOptions

__all__ = [
    "FAULT_PREFIX",
    "FAULT_WEIGHTS",
    "NOISE_LAWS",
    "Dive",
    "NoiseLaw",
    "SimDiveOptions",
    "generate",
    "simulate_dives",
    "single_fault_baselines",
    "tables",
]
