"""Action quality assessment with distribution auto-encoders, from video to scored report."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dae_aqa.scorer import Clip, Outcome, Score, Scorer, Stretch

__version__ = "0.1.0"
__all__ = ["Clip", "Outcome", "Score", "Scorer", "Stretch", "__version__"]

# A thread of OpenMP that waits for its peers spins, by default for ten milliseconds and more. Where
# another process needs the core, the peers cannot run meanwhile, and training takes several times
# as long. Spinning for some hundred microseconds, then sleeping, costs little where nothing else
# runs, and no bit changes (benchmarks/contention.py). OpenMP reads this when torch is imported;
# what the user sets prevails.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "8500")  # GNU's, which torch's wheels for Linux hold
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # milliseconds; LLVM's and Intel's


def __getattr__(name: str) -> Any:
    """Return a public name of `dae_aqa.scorer`, which is imported then: torch takes seconds."""
    if name in __all__:
        from dae_aqa import scorer

        return getattr(scorer, name)
    raise AttributeError(f"module 'dae_aqa' has no attribute {name!r}")
