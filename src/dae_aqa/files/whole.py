"""Files and folders that are written whole or not at all, and copies that stand by themselves.

A stage can be killed at any moment, and what it was writing then must not be taken for finished
work. So everything is written aside, under a name that belongs to one process, and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from dae_aqa.errors import OutputError

_SUFFIX = ".part"
_MAX_NAME_BYTES = 160  # file systems take 255; host, process and suffix need up to 86
_FICLONE = 0x40049409  # Source: linux/fs.h, _IOW(0x94, 9, int)


@contextlib.contextmanager
def written_whole(
    path: Path, *, synced: bool = False, last_step: Callable[[Path], object] | None = None
) -> Iterator[Path]:
    """Give a path to write a file or a folder to, and rename it to `path` when it is complete.

    After an error nothing stays of what was written, and `path` is as it was. What a killed process
    leaves, `remove_leftovers` finds.

    Args:
        path: what is written; its folder is made. A file that stands there is replaced.
        synced: whether the file is on the disk before it appears, so that it outlives a power cut.
        last_step: called with the complete file before it appears; if it raises, nothing appears.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(path)
    try:
        yield part
        if synced:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        if last_step is not None:
            last_step(part)
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            remove(part)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine left half-written in `folder` when they were killed."""
    host = socket.gethostname()
    for path in folder.glob(f".*{_SUFFIX}"):
        owner = path.name.removesuffix(_SUFFIX).rsplit("-", 2)
        if len(owner) == 3 and owner[0].endswith(f".{host}") and not _is_running(owner[1]):
            remove(path)


def copy_file(*, source: Path, target: Path) -> None:
    """Make `target` a file of its own with the content of `source`, whole or not at all.

    The copy shares blocks where the file system can (a reflink), never the inode: DVC makes its
    outputs read-only, and a tool may edit one in place, which would reach the other file too.

    Raises:
        OutputError: `source` cannot be read or `target` cannot be written.
    """
    try:
        with written_whole(target) as part:
            if not _reflinked(source, part):
                shutil.copyfile(source, part)
    except OSError as error:
        raise OutputError(
            f"{source}: cannot be copied to {target} ({error.strerror}). "
            "Check free space and access rights, and run the stage again."
        ) from error


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error to raise where `path` cannot be written; a full disk gets its own advice."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"{path}: no space left on the disk. Nothing good was lost: free some space and run "
            "the stage again, it goes on where it stopped."
        )
    return OutputError(f"{path}: cannot write ({error.strerror or error}).")


def remove(path: Path) -> None:
    """Delete a file, a folder or a link, never what a link leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    """Return a hidden name beside `path` that no other process uses, nor this one again."""
    name = os.fsencode(path.name)[:_MAX_NAME_BYTES].decode(errors="ignore")
    owner = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
    return path.with_name(f".{name}.{owner}{_SUFFIX}")


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _reflinked(source: Path, target: Path) -> bool:
    """Make `target` share the blocks of `source`; say whether the file system could."""
    if sys.platform != "linux":
        return False
    import fcntl

    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            return False
    return True
