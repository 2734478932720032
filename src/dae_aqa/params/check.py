"""The check before everything else: params.yaml and the folders that the pipeline works in.

It is the first stage of the pipeline, on which all others depend, so that DVC deletes nothing
before the check has passed; `dae-aqa params` is the same check.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from dae_aqa.errors import ParamsError
from dae_aqa.files.outputs import refuse_foreign_files, stage_outputs
from dae_aqa.files.yaml_file import read_yaml
from dae_aqa.options import flatten, parse_options, path_keys
from dae_aqa.params import PARAMS_FILE, Params
from dae_aqa.running.places import cache_dir, check_outputs
from dae_aqa.tables.sources import NEXT_STEP, changed_sources
from dae_aqa.wording import problem_list, shown

VIDEOS_DIR = Path("data/videos")
SOURCES = Path("data/sources.csv")
_HOW_TO_UNDO = (
    "Nothing was run or deleted. Correct params.yaml; what `dvc exp run -S` wrote into it goes "
    "away with another -S, or with `git checkout params.yaml`."
)

logger = logging.getLogger(__name__)


def check_project(*, root: Path) -> Params:
    """Return the params of the working directory after checking all that can be checked at once.

    Args:
        root: the real repository root, where relative paths of the user's own files start.

    Raises:
        ParamsError: params.yaml is not valid, or names a file that the pipeline would delete.
        OutputError: a folder of the pipeline holds files that would be lost, or cannot be written.
    """
    try:
        params = check_params(read_yaml(PARAMS_FILE), source=str(PARAMS_FILE), root=root)
    except ParamsError as error:
        raise ParamsError(f"{error}\n{_HOW_TO_UNDO}") from error
    refuse_foreign_files(VIDEOS_DIR, root=root)
    outputs = [output.path for stage in stage_outputs(Path()).values() for output in stage]
    check_outputs(*outputs, cache_dir("") / "anything")
    return params


def check_params(content: object, *, source: str, root: Path) -> Params:
    """Return checked parameters: of the file, or of what an experiment would make of it.

    Args:
        content: nested as in params.yaml.
        source: where they come from, for messages.
        root: as in `check_project`.

    Raises:
        ParamsError: they are not valid, or name a file that the pipeline would delete.
    """
    params = parse_options(Params, content, source=source)
    problems = list(_paths_in_outputs(params, root=root))
    if problems:
        raise ParamsError(f"{source}: {problem_list(problems)}")
    return params


def warn_of_changed_sources(*, root: Path) -> None:
    """Warn in the log of the user's files that have changed since `download` read them."""
    changes = changed_sources(SOURCES, root=root, read_all=False)
    if changes:
        logger.warning("%s since download: %s.", "; ".join(changes[:10]), NEXT_STEP)


def _paths_in_outputs(params: Params, *, root: Path) -> Iterator[str]:
    """Yield a line for each path that is, or lies in, what a stage deletes before it runs."""
    leaves = flatten(params)
    for key in path_keys(Params):
        text = leaves[key]
        if text is None or "://" in text:
            continue
        try:
            output = _output_around(Path(text).expanduser(), root=root)
        except (OSError, RuntimeError) as error:  # a loop of links, no such user after ~
            yield f"{key}: {shown(text)} is no path ({error})."
            continue
        if output is not None:
            yield (
                f"{key}: {shown(text)} lies in {output}, which the pipeline deletes and writes "
                "anew. Move your files to a folder of their own, such as my_videos, and name that."
            )


def _output_around(path: Path, *, root: Path) -> Path | None:
    """Return the output that `path` is or lies in, wherever links lead."""
    for base in (root, Path.cwd()):  # they differ in a queued experiment
        resolved = (base / path).resolve()
        for outputs in stage_outputs(base).values():
            for output in outputs:
                around = (base / output.path).resolve()
                if around in (resolved, *resolved.parents):
                    return output.path
    return None
