"""Every test of training begins with one thread, and leaves torch's settings as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _own_settings(own_torch_settings: Iterator[None]) -> None:
    """See `own_torch_settings`."""
