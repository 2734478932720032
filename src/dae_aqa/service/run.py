"""Start the service, and end it in order."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from dae_aqa.errors import ScoreInputError
from dae_aqa.scorer import Scorer
from dae_aqa.service.app import Service, make_app
from dae_aqa.service.counters import Counters
from dae_aqa.service.limits import ServiceLimits

_END_SECONDS = 30  # for requests that are being worked on when the service is asked to end

logger = logging.getLogger(__name__)


def serve(
    models: Sequence[str],
    *,
    host: str,
    port: int,
    token: str | None,
    videos_dir: Path | None,
    num_workers: int,
    device: str,
    limits: ServiceLimits,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then finish what runs.

    Args:
        models: of the scorer, see `Scorer.load`.
        host: address to listen on.
        port: likewise; 0: any that is free.
        token: what clients must send; None: nothing.
        videos_dir: folder below which paths are read; None for no folder.
        num_workers: decoding processes; 0: one for each core.
        device: of the network.
        limits: of requests.

    Raises:
        DaeAqaError: the model or the folder cannot be used.
    """
    if videos_dir is not None and not videos_dir.is_dir():
        raise ScoreInputError(f"--videos-dir {videos_dir}: no such folder.")
    scorer = Scorer.load(*models, device=device)
    service = Service(
        scorer=scorer,
        limits=limits,
        videos_dir=videos_dir,
        num_workers=num_workers or os.cpu_count() or 1,
        counters=Counters(),
    )
    # uvicorn ends in order at a signal, and then gives it to the handler that was there before
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ended)
    uvicorn.run(
        make_app(service, token=token),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_END_SECONDS,
    )


def _ended(_number: int, _frame: FrameType | None) -> None:
    logger.info("the service has ended")
