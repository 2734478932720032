"""Hashes of files by their content, of values and of texts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the bytes of `path` as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path: Path) -> str:
    """Return the MD5 of the bytes of `path` as 32 hex digits: DVC's name for a content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def value_sha256(value: object) -> str:
    """Return the SHA-256 of a JSON-serialisable value as 64 hex digits.

    The order of keys in it makes no difference.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def short_hash(*texts: str) -> str:
    """Return 16 hex digits that tell `texts` from any others."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
