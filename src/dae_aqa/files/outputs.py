"""The pipeline's outputs: which they are, what in them is safe to delete, how they come back.

DVC deletes a stage's outputs before it runs the stage. What it deletes lies in its cache, under the
hash of the content; what somebody else put there does not, and would be lost.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dae_aqa.errors import OutputError
from dae_aqa.files.hashing import file_md5
from dae_aqa.files.whole import copy_file, remove
from dae_aqa.wording import first_few

_NEW = ".new"  # within a folder: what is to replace its files


@dataclass(frozen=True)
class Output:
    """A file or a folder that a stage writes.

    Attributes:
        path: relative to the repository's root.
        is_persistent: DVC leaves it in place when the stage runs again.
    """

    path: Path
    is_persistent: bool


def stage_outputs(root: Path) -> dict[str, list[Output]]:
    """Return the outputs of each stage in the `dvc.yaml` of `root`; none where there is no file."""
    path = root / "dvc.yaml"
    if not path.is_file():
        return {}
    stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    return {
        name: [
            _output(entry) for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])
        ]
        for name, stage in stages.items()
    }


def _output(entry: str | dict[str, dict[str, Any]]) -> Output:
    """Return an entry of `outs`: a path, or a path with its settings."""
    if isinstance(entry, str):
        return Output(Path(entry), is_persistent=False)
    ((path, settings),) = entry.items()
    return Output(Path(path), is_persistent=bool(settings.get("persist", False)))


def foreign_files(folder: Path, *, root: Path) -> list[Path]:
    """Return the files in `folder` whose content DVC's cache does not hold, ordered by name.

    Deleting them would lose them. Every file is read.
    """
    cache = cache_folder(root)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _NEW not in path.parts)
    return [path for path in files if not _cached(cache, file_md5(path)).exists()]


def refuse_foreign_files(folder: Path, *, root: Path) -> None:
    """Check that nothing in `folder` would be lost with it.

    Raises:
        OutputError: there are files that DVC's cache does not hold.
    """
    foreign = foreign_files(folder, root=root)
    if foreign:
        names = first_few([path.relative_to(folder).as_posix() for path in foreign])
        raise OutputError(
            f"{folder}: {names} would be lost, since the pipeline writes this folder anew "
            "and DVC's cache does not hold them. Move files of your own to another folder, such as "
            f"my_videos, and name that in params.yaml; if none are yours, delete {folder}. "
            "Nothing was changed."
        )


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write to; what it then holds replaces all files of `folder`.

    After an error, `folder` is as it was.
    """
    new = folder / _NEW
    remove(new)
    new.mkdir(parents=True)
    try:
        yield new
        for path in list(folder.iterdir()):
            if path != new:
                remove(path)
        for path in list(new.iterdir()):
            path.rename(folder / path.name)
    finally:
        remove(new)


def restore(stage: str, *, root: Path) -> None:
    """Put back what DVC deleted before it ran the stage: the outputs of the last good run.

    DVC deletes a stage's outputs first, so a failure would cost the earlier results. They still lie
    in DVC's cache, under the hashes that `dvc.lock` holds. Persistent folders were left in place.

    Args:
        stage: its name in `dvc.lock`, which is read in the working directory.
        root: the real repository root, whose cache is used.
    """
    outputs = stage_outputs(Path()).get(stage, [])
    persistent = {output.path for output in outputs if output.is_persistent}
    cache = cache_folder(root)
    for target, md5 in recorded_hashes().get(stage, {}).items():
        cached = _cached(cache, md5)
        if not cached.exists() or (cached.suffix == ".dir" and target in persistent):
            continue
        files = {target: cached}
        if cached.suffix == ".dir":
            listing = json.loads(cached.read_text(encoding="utf-8"))
            files = {target / entry["relpath"]: _cached(cache, entry["md5"]) for entry in listing}
            # what the failed run wrote is no part of the good one; its finished work is in .cache
            remove(target)
        for path, source in files.items():
            if source.exists():
                # takes the place of a link that stands there, which may lead into DVC's cache
                copy_file(source=source, target=path)


def recorded_hashes() -> dict[str, dict[Path, str]]:
    """Return the hash of each output of each stage in the working directory's `dvc.lock`."""
    lock = Path("dvc.lock")
    return hashes_in_lock(lock.read_text(encoding="utf-8")) if lock.exists() else {}


def hashes_in_lock(text: str) -> dict[str, dict[Path, str]]:
    """Return the hash of each output of each stage in the text of a `dvc.lock`."""
    stages = (yaml.safe_load(text) or {}).get("stages", {})
    return {
        name: {Path(out["path"]): out["md5"] for out in stage.get("outs", []) if "md5" in out}
        for name, stage in stages.items()
    }


def cache_folder(root: Path) -> Path:
    """Return where DVC keeps the content of outputs: `.dvc/cache`, or where its settings say.

    Of the user's settings, the repository's and those of this copy of it, the last ones that name a
    folder count. A relative folder starts where the settings lie.
    """
    folder = root / ".dvc" / "cache"
    for path in (_user_settings(), root / ".dvc" / "config", root / ".dvc" / "config.local"):
        config = configparser.ConfigParser(interpolation=None, strict=False)
        config.read(path, encoding="utf-8")
        named = config.get("cache", "dir", fallback="").strip("\"'")
        if named:
            folder = path.parent / Path(named).expanduser()
    return folder / "files" / "md5"


def cached_file(md5: str, *, root: Path) -> Path:
    """Return where DVC's cache keeps the content with this hash, whether or not it is there."""
    return _cached(cache_folder(root), md5)


def _user_settings() -> Path:
    """Return the file that `dvc config --global` writes."""
    folder = os.environ.get("DVC_GLOBAL_CONFIG_DIR")
    if folder is None:
        linux = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        base = "~/Library/Application Support" if sys.platform == "darwin" else linux
        folder = f"{base}/dvc"
    return Path(folder).expanduser() / "config"


def _cached(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]
