"""The user's own files that `download` read: recorded by content, so that a change is noticed.

A folder of images is one row: its hash is that of the names and sizes in it, since nobody wants to
read a hundred thousand images to learn that nothing has changed.

They are no dependencies of the stage for DVC, which would be plainer: DVC wants a stage's
dependencies wherever it looks at the stage. The user's files are missing in the temporary copy of a
queued experiment, and on the machine of a colleague who has pulled the results.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from dae_aqa.files.hashing import file_sha256, value_sha256

COLUMNS = ("path", "size_bytes", "sha256")
NEXT_STEP = "run `dae-aqa refresh`, so that all results are those of your files as they are now"
_ALWAYS_READ_BYTES = 10_000_000  # larger files are read again where their time says so alone


def write_sources(files: Iterable[Path], path: Path, *, root: Path) -> None:
    """Write size and hash of each of `files` to the table at `path`.

    Args:
        files: files and folders that were read, none where the dataset needs none of the user's.
        path: the table, columns `COLUMNS`.
        root: paths within it are written relative to it.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for source in sorted({source.resolve() for source in files}):
            name = source.relative_to(root) if source.is_relative_to(root) else source
            writer.writerow([name.as_posix(), *_size_and_hash(source)])


def changed_sources(path: Path, *, root: Path, read_all: bool) -> list[str]:
    """Return a line for each file of the table at `path` that has changed since or is gone.

    Args:
        path: the table; without it nothing has changed.
        root: where relative paths start.
        read_all: read every file and list every folder; False: large files of the same size, and
            folders, only if they were changed after the table was written.

    Returns:
        Lines for a message. Where every file is gone, none: the results were made elsewhere.
    """
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    recorded_at = path.stat().st_mtime
    gone = [row["path"] for row in rows if not (root / row["path"]).exists()]
    if len(gone) == len(rows):
        return []
    lines = [f"{name} is gone" for name in gone]
    for row in rows:
        if row["path"] not in gone and _has_changed(
            root / row["path"], row, recorded_at=recorded_at, read_all=read_all
        ):
            lines.append(f"{row['path']} has changed")
    return lines


def recorded_paths(path: Path, *, root: Path) -> set[Path]:
    """Return the files in the table at `path`, as absolute paths."""
    with path.open(newline="", encoding="utf-8") as file:
        return {root / row["path"] for row in csv.DictReader(file)}


def _size_and_hash(path: Path) -> tuple[int, str]:
    """Return the size in bytes and the hash of a file, or of the names and sizes in a folder."""
    if not path.is_dir():
        return path.stat().st_size, file_sha256(path)
    with os.scandir(path) as entries:
        content = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())
    return sum(size for _, size in content), value_sha256([list(each) for each in content])


def _has_changed(path: Path, row: dict[str, str], *, recorded_at: float, read_all: bool) -> bool:
    status = path.stat()
    is_older = max(status.st_mtime, status.st_ctime) < recorded_at
    if path.is_dir():
        # the time of a folder tells of files that came, went or were renamed
        is_enough = is_older and not read_all
    elif status.st_size != int(row["size_bytes"]):
        return True
    else:
        is_enough = is_older and status.st_size > _ALWAYS_READ_BYTES and not read_all
    return not is_enough and _size_and_hash(path) != (int(row["size_bytes"]), row["sha256"])
