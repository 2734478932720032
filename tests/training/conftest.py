"""Every test of training begins with one thread, and leaves torch's settings as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_settings(own_torch_settings: Iterator[None]) -> None:
    """See `own_torch_settings`."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the stages run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
