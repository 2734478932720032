"""`dae-aqa serve`: a trained model as an HTTP service with a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from dae_aqa.cli.score import DEFAULT_MODEL
from dae_aqa.errors import ScoreInputError


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the commands."""
    serve = commands.add_parser(
        "serve",
        help="score clips over HTTP, with a page to drop videos on",
        description="Serve a trained model on http://127.0.0.1:8000: a page at /, POST /score, the "
        "API at /docs, Prometheus metrics at /metrics. Ends in order at SIGTERM and Ctrl-C.",
    )
    serve.add_argument("model", nargs="*", default=[DEFAULT_MODEL], metavar="MODEL")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, help="(8000)")
    serve.add_argument(
        "--token-file", type=Path, metavar="FILE", help="clients must send the token in this file"
    )
    serve.add_argument(
        "--videos-dir", type=Path, metavar="DIR", help="clients may name videos below this folder"
    )
    serve.add_argument("--workers", type=int, default=0, metavar="N", help="decoders (all cores)")
    serve.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    limits = serve.add_argument_group("limits of a request")
    limits.add_argument("--max-mb", type=int, metavar="MB", help="size of an upload")
    limits.add_argument("--max-seconds", type=float, metavar="S", help="length of a video")
    limits.add_argument("--max-frames", type=int, metavar="N", help="frames of a video")
    limits.add_argument("--max-pixels", type=int, metavar="N", help="pixels of a picture")
    limits.add_argument("--max-in-flight", type=int, metavar="N", help="requests at once")
    limits.add_argument("--upload-seconds", type=float, metavar="S", help="time of an upload")
    limits.add_argument("--decode-seconds", type=float, metavar="S", help="time of decoding")
    serve.set_defaults(run=_serve)


def _serve(chosen: argparse.Namespace) -> None:
    from dae_aqa.service.limits import ServiceLimits
    from dae_aqa.service.run import serve

    asked = {
        name: value
        for name in ServiceLimits.__dataclass_fields__
        if (value := getattr(chosen, name, None)) is not None
    }
    print(f"serving on http://{chosen.host}:{chosen.port} (the API: /docs)", flush=True)
    serve(
        chosen.model,
        host=chosen.host,
        port=chosen.port,
        token=None if chosen.token_file is None else _token(chosen.token_file),
        videos_dir=chosen.videos_dir,
        num_workers=chosen.workers,
        device=chosen.device,
        limits=ServiceLimits(**asked),
    )


def _token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreInputError(f"--token-file {path}: cannot be read ({error}).") from error
    if len(token) < 8 or not token.isascii() or " " in token:
        raise ScoreInputError(
            f"--token-file {path}: a token has at least 8 ASCII characters and no space."
        )
    return token
