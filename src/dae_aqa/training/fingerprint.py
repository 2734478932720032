"""What determines a result, as one short digest: parameters, data, code."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_NUM_HEX_DIGITS = 32


def training_fingerprint(
    values: Mapping[str, object], *, data_files: Iterable[Path], frames: str, package_dir: Path
) -> str:
    """Return a digest of a training's parameters, data and code.

    Args:
        values: the parameters, JSON-serialisable.
        data_files: tables; their contents count, not their names.
        frames: digest of the samples' frames, see `frames_digest`.
        package_dir: folder of the code; every Python file in it counts, so that an edit anywhere
            starts a training anew rather than mix two versions of the code.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    digest.update(frames.encode())
    for path in data_files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in sorted(package_dir.rglob("*.py")):
        digest.update(path.relative_to(package_dir).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_NUM_HEX_DIGITS]


def frames_digest(frames_dir: Path, sample_ids: Iterable[str]) -> str:
    """Return a digest of packed samples from the checksums that they list (no pixel is read)."""
    digest = hashlib.sha256()
    for sample_id in sample_ids:
        digest.update(sample_id.encode() + b"\0")
        path = frames_dir / f"{sample_id}.zip"
        digest.update(_checksums(path, changed=path.stat().st_mtime_ns).encode())
    return digest.hexdigest()[:_NUM_HEX_DIGITS]


@cache  # a training asks for its fingerprint and for that of its features
def _checksums(path: Path, *, changed: int) -> str:
    """Return the checksums in a packed sample that was `changed` at that time."""
    with zipfile.ZipFile(path) as pack:
        return repr([entry.CRC for entry in pack.infolist()])
