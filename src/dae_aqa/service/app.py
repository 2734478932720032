"""The service's addresses: score a clip, look at the model, the page, health and metrics."""

from __future__ import annotations

import base64
import logging
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from fastapi import FastAPI, Form, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict
from swagger_ui_bundle import swagger_ui_path

from dae_aqa import __version__
from dae_aqa.errors import DaeAqaError, ScoreInputError
from dae_aqa.scorer import Clip, Scorer, Stretch, file_below
from dae_aqa.service.batching import Batcher, Question
from dae_aqa.service.counters import Counters
from dae_aqa.service.decoding import Decoder
from dae_aqa.service.gate import Gate
from dae_aqa.service.limits import ServiceLimits

_PAGE = Path(__file__).parent / "page"
_CHUNK_BYTES = 1 << 20
_Answer = dict[str, Any]
# the page and the OpenAPI page load nothing from elsewhere, and nobody may frame them
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; media-src blob:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

logger = logging.getLogger(__name__)


class _Asked(BaseModel):
    """What is said of a clip, wherever it is.

    Attributes:
        start_seconds: where the performance begins.
        end_seconds: where it ends.
        start_frame: its first frame, instead.
        end_frame: one past its last frame, instead.
        last_frames: its last frames alone.
        difficulty: degree of difficulty.
        action_class: what is performed.
        name: for the answer.
        strip: whether to answer with the frames that were looked at.
    """

    model_config = ConfigDict(extra="forbid")

    start_seconds: float | None = None
    end_seconds: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    last_frames: int | None = None
    difficulty: float | None = None
    action_class: str | None = None
    name: str | None = None
    strip: bool = False

    def clip(self, video: Path, *, name: str) -> Clip:
        """Return the clip in the file `video`; `name` is its name where none is given.

        Raises:
            HTTPException: the stretch makes no sense.
        """
        stretch = {field: getattr(self, field) for field in Stretch.__dataclass_fields__}
        try:
            return Clip(
                video=video,
                stretch=Stretch(**stretch),
                difficulty=self.difficulty,
                action_class=self.action_class,
                name=self.name or name,
            )
        except ScoreInputError as error:
            raise HTTPException(422, str(error)) from error


class Upload(_Asked):
    """A clip in the request.

    Attributes:
        video: a video file.
    """

    video: UploadFile


class PathRequest(_Asked):
    """A clip below the folder that the operator names.

    Attributes:
        path: of the video, relative to that folder.
    """

    path: str


@dataclass
class Service:
    """What answers requests, while the application runs.

    Attributes:
        scorer: the model.
        limits: of requests.
        videos_dir: the folder below which paths are read; None for no folder.
        num_workers: decoding processes.
        counters: for Prometheus.
    """

    scorer: Scorer
    limits: ServiceLimits
    videos_dir: Path | None
    num_workers: int
    counters: Counters

    def start(self) -> None:
        """Start the decoding processes and the network's thread."""
        self.decoder = Decoder(
            self.scorer.view,
            limits=self.limits.of_video,
            num_workers=self.num_workers,
            seconds=self.limits.decode_seconds,
            memory_mb=self.limits.worker_memory_mb,
        )
        self.batcher = Batcher(self.scorer, on_batch=self.counters.on_batch)

    def stop(self) -> None:
        """End both."""
        self.batcher.close()
        self.decoder.close()

    async def answer(self, clip: Clip, *, strip: bool) -> _Answer:
        """Return the score of a clip as JSON holds it.

        Raises:
            HTTPException: it cannot be scored; the text speaks of the clip by its name.
        """
        try:
            self.scorer.check(clip)
            started = perf_counter()
            window = await self.decoder.read(clip.video, clip.stretch)
            self.counters.decode_seconds.observe(perf_counter() - started)
            question = Question(window, clip.difficulty, clip.action_class, clip.shown_name)
            score = await self.batcher.score(question)
        except DaeAqaError as error:
            raise _unprocessable(error, clip) from error
        answer = score.to_dict()
        if strip:
            kind = self.scorer.view.frames.image_format
            answer["strip"] = [
                f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
                for image in window.images
            ]
        return answer


def make_app(service: Service, *, token: str | None) -> Gate:
    """Return the whole application.

    Args:
        service: started and stopped with the application.
        token: what clients must send; None: nothing.
    """
    gate = Gate(
        _routes(service),
        limits=service.limits,
        token=token,
        on_answer=service.counters.on_answer,
    )
    service.counters.watch_in_flight(lambda: gate.num_in_flight)
    return gate


def _routes(service: Service) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)

    app = FastAPI(
        title="DAE-AQA",
        summary="How well was it performed? Clips in, scores out.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(Exception, _unexpected)
    _add_scoring(app, service)
    _add_pages(app, service)
    return app


def _add_scoring(app: FastAPI, service: Service) -> None:
    @app.post("/score", summary="Score an uploaded clip")
    async def score(upload: Annotated[Upload, Form(media_type="multipart/form-data")]) -> _Answer:
        """Answer with the score of the performance in the upload."""
        with tempfile.NamedTemporaryFile(prefix="dae-aqa-upload-") as file:
            clip = upload.clip(Path(file.name), name=upload.video.filename or "upload")
            while chunk := await upload.video.read(_CHUNK_BYTES):
                await run_in_threadpool(file.write, chunk)
            file.flush()
            return await service.answer(clip, strip=upload.strip)

    @app.post("/score/path", summary="Score a clip in the operator's folder")
    async def score_path(asked: PathRequest) -> _Answer:
        """Answer with the score of a clip that lies on the server."""
        if service.videos_dir is None:
            raise HTTPException(
                404, "no folder of videos is open here (--videos-dir); upload the clip."
            )
        try:
            path = file_below(service.videos_dir, asked.path)
        except ScoreInputError as error:
            raise HTTPException(404, str(error)) from error
        return await service.answer(asked.clip(path, name=asked.path), strip=asked.strip)


def _add_pages(app: FastAPI, service: Service) -> None:
    description = service.scorer.describe()

    @app.get("/model", summary="What the model is, and how it looks at videos")
    def model() -> dict[str, Any]:
        return description

    @app.get("/health", summary="Whether the service answers")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    def metrics() -> Response:
        return Response(service.counters.text(), media_type="text/plain; version=0.0.4")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title="DAE-AQA: the service",
            swagger_js_url="swagger/swagger-ui-bundle.js",
            swagger_css_url="swagger/swagger-ui.css",
            swagger_favicon_url="icon.svg",
        )
        # the page starts itself with a script of its own
        policy = _HEADERS["Content-Security-Policy"]
        page.headers.update(
            _HEADERS
            | {
                "Content-Security-Policy": policy.replace(
                    "script-src 'self'", "script-src 'self' 'unsafe-inline'"
                )
            }
        )
        return page

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers=_HEADERS)

    @app.get("/{name}", include_in_schema=False)
    def asset(name: str) -> FileResponse:
        if name not in ("page.css", "page.js", "icon.svg"):
            raise HTTPException(404, "there is nothing here; /docs lists what there is.")
        return FileResponse(_PAGE / name, headers=_HEADERS)

    app.mount("/swagger", StaticFiles(directory=swagger_ui_path))


def _unprocessable(error: DaeAqaError, clip: Clip) -> HTTPException:
    """Return the refusal of a clip; where its file lies is not told."""
    text = str(error).replace(str(clip.video), clip.shown_name)
    return HTTPException(422, text.replace(clip.video.name, clip.shown_name))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """Answer where the service itself is at fault: details go to the log alone."""
    number = uuid.uuid4().hex[:12]
    logger.error("request %s to %s failed", number, request.url.path, exc_info=error)
    return JSONResponse(
        {"detail": f"the service failed; its log says more at request {number}."},
        status_code=500,
    )
