"""What determines the result of a training, as one short digest: options, data, code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from dae_aqa.files.hashing import file_sha256

_NUM_HEX_DIGITS = 32
# Rooms and files of the package that can change a result: what the stage `train` depends on in
# dvc.yaml (a test compares the two).
CODE = (
    "clips",
    "files",
    "inference",
    "metrics/accuracy.py",
    "metrics/calibration.py",
    "metrics/mixture.py",
    "metrics/sample_size.py",
    "metrics/sigma_scale.py",
    "models",
    "packs",
    "scoring.py",
    "splits",
    "tables",
    "training",
    "video/options.py",
)
# Where a run is recorded, how its data is loaded, and how many trainings share the CPU threads that
# `num_threads: 0` means, which differ from machine to machine: a training may go on with others.
WITHOUT_EFFECT = (
    *("num_workers", "train.clips.cache", "train.parts_at_once"),
    *("train.experiment", "train.tracking"),
)


def training_fingerprint(
    values: Mapping[str, object], *, data_files: Iterable[Path], frames: str, package_dir: Path
) -> str:
    """Return a digest of a training's options, data and code.

    Args:
        values: the options by dotted key, JSON-serialisable; `WITHOUT_EFFECT` are left out.
        data_files: tables; their contents count, not their names.
        frames: digest of the samples' frames, see `dae_aqa.packs.digest`.
        package_dir: folder of the package, in which `CODE` counts.
    """
    effective = {key: value for key, value in values.items() if key not in WITHOUT_EFFECT}
    digest = hashlib.sha256(json.dumps(effective, sort_keys=True).encode())
    digest.update(frames.encode())
    for path in data_files:
        digest.update(bytes.fromhex(file_sha256(path)))
    for path in sorted(_code_files(package_dir)):
        digest.update(path.relative_to(package_dir).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()[:_NUM_HEX_DIGITS]


def _code_files(package_dir: Path) -> set[Path]:
    files: set[Path] = set()
    for name in CODE:
        place = package_dir / name
        files |= {place} if place.is_file() else set(place.rglob("*.py"))
    return files
