"""`dae-aqa refresh`: bring all results up to date with the user's own files.

DVC sees neither a table nor videos outside the repository; this notices by their recorded hashes
that they changed, and has DVC run `download` again and then what follows from it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from dae_aqa.cli.dvc import run_dvc
from dae_aqa.datasets import DATASETS
from dae_aqa.params import Params
from dae_aqa.params.check import SOURCES, check_project
from dae_aqa.tables.sources import changed_sources, recorded_paths

logger = logging.getLogger(__name__)


def refresh(*, root: Path, force: bool) -> int:
    """Run the pipeline again if the user's files have changed; return DVC's exit code.

    Args:
        root: the repository's root.
        force: run it again whether or not they have.

    Raises:
        DaeAqaError: params.yaml is not valid, or the user's table cannot be read.
    """
    params = check_project(root=root)
    if (root / SOURCES).is_file():
        changes = own_file_changes(params, root=root, read_all=True)
        for line in changes:
            logger.info("%s", line)
        if not changes and not force:
            logger.info("No file of yours has changed since download; nothing to do.")
            return 0
    return run_dvc("repro", "--force", "download", root=root) or run_dvc("repro", root=root)


def own_file_changes(params: Params, *, root: Path, read_all: bool) -> list[str]:
    """Return a line for each of the user's files that is new, has changed or is gone.

    Args:
        params: which dataset reads which files.
        root: the repository's root, where `download` has left its table of the files it read.
        read_all: as in `changed_sources`.

    Raises:
        DaeAqaError: the user's table cannot be read.
    """
    changes = changed_sources(root / SOURCES, root=root, read_all=read_all)
    own_files = DATASETS[params.dataset].own_files(params.dataset_options)
    new = {path.resolve() for path in own_files} - recorded_paths(root / SOURCES, root=root)
    return changes + [f"{path} is new" for path in sorted(new)]
