"""Action quality assessment with distribution auto-encoders, from video to scored report."""

import os

__version__ = "0.1.0"

# A thread of OpenMP that waits for its peers spins, by default for ten milliseconds and more. Where
# another process needs the core, the peers cannot run meanwhile, and training takes several times
# as long. Spinning for some hundred microseconds, then sleeping, costs little where nothing else
# runs, and no bit changes (benchmarks/contention.py). OpenMP reads this when torch is imported;
# what the user sets prevails.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "8500")  # GNU's, which torch's wheels for Linux hold
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # milliseconds; LLVM's and Intel's
