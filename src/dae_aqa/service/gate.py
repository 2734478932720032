"""What a request passes before the service looks at it: token, count, size and time.

It stands before the framework, which would read a body of any size first.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dae_aqa.service.limits import ServiceLimits

_OPEN = ("/", "/health", "/page.css", "/page.js", "/icon.svg")  # without the token
_RETRY_SECONDS = 1


class Gate:
    """An ASGI application before the real one.

    Args:
        app: the real one.
        limits: of a request, and of all together.
        token: what clients must send; None: nothing.
        on_answer: called with path and status of every answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: ServiceLimits,
        token: str | None,
        on_answer: Callable[[str, int], None],
    ) -> None:
        self._app, self._limits, self._token = app, limits, token
        self._on_answer = on_answer
        self.num_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or let it pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._on_answer(scope["path"], message["status"])
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, counted)
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, counted)
            return
        self.num_in_flight += 1
        try:
            await self._app(scope, self._limited(receive), counted)
        finally:
            self.num_in_flight -= 1

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """Return the answer to a request that goes no further; None lets it pass."""
        headers = {key.lower(): value for key, value in scope["headers"]}
        if self._token is not None and scope["path"] not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token.encode()):
                return _refused(
                    401,
                    "the token is missing or wrong: send `Authorization: Bearer <token>`.",
                    {"WWW-Authenticate": "Bearer"},
                )
        if scope["method"] != "POST":
            return None
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.max_bytes:
            return _refused(413, self._too_large(), {"Connection": "close"})
        if self.num_in_flight >= self._limits.max_in_flight:
            return _refused(
                503,
                f"{self._limits.max_in_flight} requests are being worked on; try again.",
                {"Retry-After": str(_RETRY_SECONDS), "Connection": "close"},
            )
        return None

    def _limited(self, receive: Receive) -> Receive:
        """Return what reads the body, and gives up where it is too large or too slow."""
        deadline = time.monotonic() + self._limits.upload_seconds
        received, is_complete = 0, False

        async def read() -> Message:
            nonlocal received, is_complete
            if is_complete:  # what comes now is the end of the connection, whenever it comes
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(
                    408,
                    f"the upload took more than {self._limits.upload_seconds:g} s.",
                    {"Connection": "close"},
                ) from error
            received += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if received > self._limits.max_bytes:
                raise HTTPException(413, self._too_large(), {"Connection": "close"})
            return message

        return read

    def _too_large(self) -> str:
        return f"the upload is larger than {self._limits.max_mb} MB, or does not say its size."


def _refused(status: int, message: str, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse({"detail": message}, status_code=status, headers=headers)
