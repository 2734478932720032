"""Files from elsewhere: fetched over HTTP, taken out of an archive or copied, whole or not at all.

Every file is written aside, in the folder where it belongs, and renamed when it is complete. Names
are always given by the caller, never by a server or an archive, so that nothing can be written
outside the caller's folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from zipfile import BadZipFile, ZipFile, ZipInfo

from dae_aqa.errors import DownloadError

_CHUNK_BYTES = 1 << 20
_FIRST_WAIT_SECONDS = 1.0  # before the first retry; doubled for each further one
_MAX_MEMBER_BYTES = 256 << 20  # of one archive member, unpacked
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)
_FICLONE = 0x40049409  # Linux ioctl: share the blocks of two files, copy on write

_logger = logging.getLogger(__name__)


def check_address(address: str) -> str:
    """Return `address` after checking that it is an http or https one with a host.

    Raises:
        DownloadError: it is not; files and other protocols are never opened.
    """
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise DownloadError(
            f"{address!r} is not an address to download from: expected http://… or https://…"
        )
    return address


def short_hash(*texts: str) -> str:
    """Return 16 hexadecimal digits that tell `texts` from any others."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def fetch_file(*, address: str, path: Path, num_retries: int, timeout_seconds: float) -> None:
    """Download `address` to `path`; `path` appears only when every byte has arrived.

    Args:
        address: http or https address; redirects to anything else are refused.
        path: file to write; its folder is made.
        num_retries: further tries after a lost connection, a timeout or a busy server.
        timeout_seconds: longest silence of the server.

    Raises:
        DownloadError: the address is no http(s) one, the server refuses, or all tries failed.
    """
    check_address(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    for num_failures in range(num_retries + 1):
        try:
            with _aside(path) as part:
                _receive(address, part, timeout_seconds=timeout_seconds)
            return
        except urllib.error.HTTPError as error:
            reason, final = f"HTTP {error.code} {error.reason}", error.code not in _TRANSIENT_STATUS
        except urllib.error.URLError as error:
            reason, final = str(error.reason), False
        except (HTTPException, TimeoutError, ConnectionError) as error:
            reason, final = str(error) or type(error).__name__, False
        except OSError as error:
            raise DownloadError(f"{path}: cannot be written ({error.strerror}).") from error
        if final or num_failures == num_retries:
            raise DownloadError(
                f"{address}: download failed after {num_failures + 1} tries: {reason}. "
                "Check the address and the connection, and run the stage again."
            )
        _logger.info("%s: %s; trying again", address, reason)
        pause(num_failures=num_failures)


def pause(*, num_failures: int) -> None:
    """Wait before the next try, twice as long after each failure."""
    time.sleep(_FIRST_WAIT_SECONDS * 2**num_failures)


def copy_file(*, source: Path, target: Path) -> None:
    """Copy `source` to `target`, sharing its blocks where the file system can (copy on write).

    Never a link: DVC makes its outputs read-only, which would change the original too.

    Raises:
        DownloadError: `source` cannot be read or `target` cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _aside(target) as part:
            if not _reflink(source, part):
                shutil.copyfile(source, part)
    except OSError as error:
        raise DownloadError(
            f"{source}: cannot be copied to {target} ({error.strerror}). "
            "Check free space and access rights, and run the stage again."
        ) from error


def extract_members(*, archive: Path, names: Sequence[str], folder: Path) -> None:
    """Write the files `names` of a zip archive below `folder`, and no others.

    Args:
        archive: zip file; it may hold `names` below a folder of its own, wherever `names[0]` lies.
        names: paths below that folder, with '/'.
        folder: where to write them, under the same paths.

    Raises:
        DownloadError: no zip file, a name is not in it, or a member is damaged or too large.
    """
    try:
        with ZipFile(archive) as content:
            members = {member.filename: member for member in content.infolist()}
            root = _archive_root(members, first=names[0], archive=archive)
            for name in names:
                _extract_member(content, members.get(f"{root}{name}"), name, folder)
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DownloadError(f"{archive}: not a readable zip archive ({error}).") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for another process that does; a kill releases it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` if nothing went wrong."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _receive(address: str, part: Path, *, timeout_seconds: float) -> None:
    """Write the body of one GET to `part`, and check that it is as long as the server said."""
    request = urllib.request.Request(address, headers={"User-Agent": "dae-aqa"})  # noqa: S310
    with _opener().open(request, timeout=timeout_seconds) as response, part.open("wb") as file:
        shutil.copyfileobj(response, file, _CHUNK_BYTES)
        announced = response.headers.get("Content-Length")
        if announced is not None and int(announced) != file.tell():
            raise ConnectionError(f"got {file.tell()} of {announced} bytes")


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https alone, also after a redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _reflink(source: Path, target: Path) -> bool:
    """Try to make `target` share the blocks of `source`; False where that cannot be done."""
    with source.open("rb") as original, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            return False
    return True


def _archive_root(members: dict[str, ZipInfo], *, first: str, archive: Path) -> str:
    """Return the folder in the archive, '' or ending with '/', below which `first` lies."""
    depth = len(PurePosixPath(first).parts)
    for name in sorted(members):
        if PurePosixPath(name).parts[-depth:] == PurePosixPath(first).parts:
            return name[: len(name) - len(first)]
    raise DownloadError(f"{archive}: expected a file {first} in the archive, found none.")


def _extract_member(content: ZipFile, member: ZipInfo | None, name: str, folder: Path) -> None:
    if member is None:
        raise DownloadError(f"{content.filename}: expected a file {name} in the archive.")
    if member.file_size > _MAX_MEMBER_BYTES:
        raise DownloadError(
            f"{content.filename}: {name} unpacks to {member.file_size} bytes, "
            f"more than the {_MAX_MEMBER_BYTES} that are allowed."
        )
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    # zipfile never reads more than the announced size and checks the CRC at the end
    with content.open(member) as packed, _aside(target) as part, part.open("wb") as file:
        shutil.copyfileobj(packed, file, _CHUNK_BYTES)
