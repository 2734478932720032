"""Files from elsewhere: fetched over HTTP or taken out of an archive, whole or not at all.

The caller gives all names, never a server or an archive, so that nothing can be written outside the
caller's folder. urllib suffices: `requests` would save the opener below, but it sends what `.netrc`
holds, and its retries do not cover a body that breaks off.
"""

from __future__ import annotations

import logging
import shutil
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from zipfile import BadZipFile, ZipFile, ZipInfo

from dae_aqa.errors import DownloadError
from dae_aqa.files.whole import written_whole
from dae_aqa.running.retries import doubling_pauses, with_retries

_CHUNK_BYTES = 1 << 20
_MAX_MEMBER_BYTES = 256 << 20  # of one archive member, unpacked
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)
_CONNECTION_ERRORS = (URLError, HTTPException, TimeoutError, ConnectionError)

logger = logging.getLogger(__name__)


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
    num_tries = 0

    def fetch() -> None:
        nonlocal num_tries
        num_tries += 1
        with written_whole(path) as part:
            _receive(address, part, timeout_seconds=timeout_seconds)

    try:
        with_retries(
            fetch,
            pauses_seconds=doubling_pauses(num_retries),
            is_passing=_is_passing,
            report=lambda error: logger.info("%s: %s; trying again", address, _reason(error)),
        )
    except _CONNECTION_ERRORS as error:
        raise DownloadError(
            f"{address}: download failed after {num_tries} tries: {_reason(error)}. "
            "Check the address and the connection, and run the stage again."
        ) from error
    except OSError as error:
        raise DownloadError(f"{path}: cannot be written ({error.strerror}).") from error


def _is_passing(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code in _TRANSIENT_STATUS
    return isinstance(error, _CONNECTION_ERRORS)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


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
    # zipfile never reads more than the announced size and checks the CRC at the end
    with content.open(member) as packed, written_whole(target) as part, part.open("wb") as file:
        shutil.copyfileobj(packed, file, _CHUNK_BYTES)
