"""How the report shows the baselines of simdive."""

from dae_aqa.datasets.base import BaselineLabel
from dae_aqa.datasets.simdive.dives import FAULT_PREFIX, FAULT_WEIGHTS

BASELINE_LABELS = {
    "difficulty": BaselineLabel(
        label="Difficulty alone, of the execution", scale="execution", kind="to beat"
    ),
    "splash_entry": BaselineLabel(
        label="Splash and entry angle", scale="execution", kind="shortcut"
    ),
    "all_faults": BaselineLabel(label="All faults", scale="execution", kind="limit"),
    "ceiling": BaselineLabel(label="True quality: the ceiling", scale="execution", kind="limit"),
    **{
        f"{FAULT_PREFIX}{name}": BaselineLabel(
            label=f"{name.capitalize()} alone", scale="execution", kind="to beat", group="fault"
        )
        for name in FAULT_WEIGHTS
    },
}
