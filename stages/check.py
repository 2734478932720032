"""Stage 0: check params.yaml before DVC deletes any output of the stages that follow."""

from pathlib import Path

from dae_aqa.running.places import project_root
from dae_aqa.running.runtime import run_stage

CHECKED = Path("data/checked.txt")


def main() -> None:
    """Write a file that is always the same, so that nothing runs again for it."""
    # imported here: Ctrl-C meanwhile is then no traceback
    from dae_aqa.params.check import check_project, warn_of_changed_sources

    check_project(root=project_root())
    warn_of_changed_sources(root=project_root())
    CHECKED.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage("check", main)
