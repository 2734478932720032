"""The scorer: model files in, clips in, scores out. One way for Python, shell, MLflow and HTTP."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dae_aqa.clips.dataset import FrameBatch
from dae_aqa.clips.transform import make_clips
from dae_aqa.errors import DaeAqaError, ModelError, ScoreInputError
from dae_aqa.inference.device import resolve_device, set_threads
from dae_aqa.inference.predict import autocast, score_features
from dae_aqa.inference.samples import Performances
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.inference import for_inference
from dae_aqa.models.targets import ScorePrediction, class_codes
from dae_aqa.scorer.description import describe
from dae_aqa.scorer.score import Familiarity, Score, familiarity_of, make_score
from dae_aqa.scorer.sources import local_file
from dae_aqa.scorer.window import Limits, Stretch, View, Window, read_window

_BATCH = 8  # performances per pass of the backbone; on a CPU it changes no bit


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One performance to score.

    Attributes:
        video: the file.
        stretch: the part of it that shows the performance.
        difficulty: degree of difficulty; None where it is not known.
        action_class: what is performed, for models that compare within a class.
        name: for answers and messages; the file's name where it is not given.
    """

    video: Path
    stretch: Stretch = field(default_factory=Stretch)
    difficulty: float | None = None
    action_class: str | None = None
    name: str = ""

    @property
    def shown_name(self) -> str:
        """The name, or that of the file."""
        return self.name or self.video.name


@dataclass(frozen=True)
class Outcome:
    """What became of one clip of many: its score, or the error that kept it from one."""

    clip: Clip
    score: Score | None = None
    error: DaeAqaError | None = None

    @property
    def message(self) -> str:
        """The error's text, in which the clip has its name and not the place of its file."""
        return str(self.error or "").replace(str(self.clip.video), self.clip.shown_name)


class Scorer:
    """Scores clips with one model, or with several that make an ensemble.

    Load it once: `Scorer.load("models/model.pt")`. The same clip gets the same bits at any time,
    whatever it is scored beside (on one device, with one number of threads).

    Args:
        models: on their device; made for the same frames and clips.
        sources: the files that they come from, for the description.

    Raises:
        ModelError: there is no model, one does not say how frames are made, or two look at videos
            in different ways.
    """

    def __init__(self, models: Sequence[TrainedModel], *, sources: Sequence[Path] = ()) -> None:
        self._models = [_Ready(trained) for trained in models]
        self._sources = list(sources)
        self.view = _common_view(models)

    @classmethod
    def load(
        cls,
        *sources: str | Path,
        device: str = "auto",
        num_threads: int = 0,
    ) -> Scorer:
        """Return the scorer of one or several model files.

        Args:
            sources: files that training wrote, or what MLflow names models by: `runs:/<run id>` or
                `models:/<name>/<version>`.
            device: `auto`, `cpu`, `cuda` or `mps`.
            num_threads: CPU threads of the network; 0: all cores.

        Raises:
            ModelError: a file is missing, damaged, or of another kind; see also `Scorer`.
            TrackingError: MLflow has no such model.
            TrainingError: the device is not there.
        """
        set_threads(num_threads)
        where = resolve_device(device)
        files = [local_file(source) for source in sources]
        models = [TrainedModel.load(path) for path in files]
        for trained in models:
            trained.model.to(where)
        return cls(models, sources=files)

    @property
    def needs_difficulty(self) -> bool:
        """Whether a final score cannot be told without the difficulty."""
        return any(each.trained.needs_difficulty for each in self._models)

    @property
    def needs_action_class(self) -> bool:
        """Whether a score cannot be told without the class of what is performed."""
        return any(each.trained.needs_action_class for each in self._models)

    def describe(self) -> dict[str, Any]:
        """Return what the models are and how they look at videos, as JSON holds it."""
        models = [each.trained for each in self._models]
        return describe(models, view=self.view, sources=self._sources)

    def score(
        self,
        video: str | Path,
        *,
        start: float | None = None,
        end: float | None = None,
        difficulty: float | None = None,
        action_class: str | None = None,
    ) -> Score:
        """Score one performance.

        Args:
            video: a video file.
            start: where the performance begins, in seconds from the start of the video; None: at
                its start, or as far before `end` as the model looks.
            end: where it ends, in seconds; None: at the end of the video.
            difficulty: degree of difficulty; may be None where `needs_difficulty` is false.
            action_class: what is performed; needed where `needs_action_class` is true.

        Raises:
            VideoError: the video is missing, damaged or too short.
            ScoreInputError: the stretch is empty, or the difficulty or the class is missing.
        """
        stretch = Stretch(start_seconds=start, end_seconds=end)
        clip = Clip(
            video=Path(video), stretch=stretch, difficulty=difficulty, action_class=action_class
        )
        self.check(clip)
        return self._score_clips([clip], [self.read(clip)])[0]

    def score_many(self, clips: Iterable[Clip], *, num_workers: int = 0) -> Iterator[Outcome]:
        """Yield the outcome of each clip, in order; a clip that fails does not stop the others.

        Clips are decoded ahead, by threads, while the network works.

        Args:
            clips: may be a generator; a few are taken in advance.
            num_workers: threads that decode; 0: one for each core.
        """
        workers = num_workers or os.cpu_count() or 1
        waiting: deque[tuple[Clip, Future[Window]]] = deque()
        coming = iter(clips)
        with ThreadPoolExecutor(max_workers=workers) as pool:
            try:
                while True:
                    for clip in islice(coming, max(0, 2 * workers + _BATCH - len(waiting))):
                        waiting.append((clip, pool.submit(self._checked_window, clip)))
                    if not waiting:
                        return
                    yield from self._outcomes(_finished(waiting))
            finally:
                for _, future in waiting:
                    future.cancel()

    def score_windows(
        self,
        windows: Sequence[Window],
        *,
        difficulties: Sequence[float | None],
        names: Sequence[str],
        action_classes: Sequence[str | None] | None = None,
    ) -> list[Score]:
        """Score performances whose frames are read already.

        Args:
            windows: N, as `read_window` gives them for this scorer's `view`.
            difficulties: N; None where not known.
            names: N, for answers and messages.
            action_classes: N; None where not known.

        Raises:
            ScoreInputError: a difficulty or a class is missing or no number > 0.
            ModelError: the network's output is not finite.
        """
        classes = action_classes or [None] * len(windows)
        clips = [
            Clip(video=Path(name), difficulty=difficulty, action_class=action_class, name=name)
            for name, difficulty, action_class in zip(names, difficulties, classes, strict=True)
        ]
        for clip in clips:
            self.check(clip)
        return [
            score
            for first in range(0, len(windows), _BATCH)
            for score in self._score_clips(
                clips[first : first + _BATCH], windows[first : first + _BATCH]
            )
        ]

    def check(self, clip: Clip) -> None:
        """Check what can be checked before the clip is decoded.

        Raises:
            ScoreInputError: the difficulty or the class is missing, or the difficulty no number
                > 0.
        """
        if clip.difficulty is None and self.needs_difficulty:
            raise ScoreInputError(
                f"{clip.shown_name}: this model scores the execution, and the final score is that "
                "times the difficulty: give it, e.g. 3.2; 1.0 gives the execution score."
            )
        if clip.difficulty is not None and not 0 < clip.difficulty < float("inf"):
            raise ScoreInputError(
                f"{clip.shown_name}: difficulty must be a number > 0, got {clip.difficulty}."
            )
        if clip.action_class is None and self.needs_action_class:
            raise ScoreInputError(
                f"{clip.shown_name}: this model compares performances of one action class; give "
                "action_class, as the annotations of its dataset name it."
            )

    def read(self, clip: Clip, *, limits: Limits | None = None) -> Window:
        """Return the frames of the clip that the models look at; see `read_window`."""
        return read_window(clip.video, clip.stretch, view=self.view, limits=limits)

    def _checked_window(self, clip: Clip) -> Window:
        self.check(clip)
        return self.read(clip)

    def _outcomes(self, batch: Sequence[tuple[Clip, Future[Window]]]) -> Iterator[Outcome]:
        """Yield the outcomes of clips whose frames have been read, or could not be."""
        errors = {place: future.exception() for place, (_, future) in enumerate(batch)}
        good = [place for place, error in errors.items() if error is None]
        scores: dict[int, Score] = {}
        failed: dict[int, DaeAqaError] = {}
        try:
            clips, windows = [batch[i][0] for i in good], [batch[i][1].result() for i in good]
            scores = dict(zip(good, self._score_clips(clips, windows), strict=True))
        except ModelError:  # one of them; each by itself shows which
            for place in good:
                try:
                    clip, future = batch[place]
                    scores[place] = self._score_clips([clip], [future.result()])[0]
                except ModelError as fault:
                    failed[place] = fault
        for place, (clip, _) in enumerate(batch):
            error = errors[place]
            if error is not None and not isinstance(error, DaeAqaError):
                raise error
            yield Outcome(clip, scores.get(place), error or failed.get(place))

    def _score_clips(self, clips: Sequence[Clip], windows: Sequence[Window]) -> list[Score]:
        """Return the scores of clips whose frames are `windows`, in one pass of each backbone."""
        if not clips:
            return []
        known = all(clip.action_class is not None for clip in clips)
        performances = Performances(
            [clip.shown_name for clip in clips],
            torch.tensor([_difficulty(clip) for clip in clips], dtype=torch.float32),
            class_codes([clip.action_class or "" for clip in clips]) if known else None,
        )
        answers = [each.answers(windows, performances) for each in self._models]
        return [
            make_score(
                [answer.predictions[row] for answer in answers],
                name=clip.shown_name,
                difficulty=_difficulty(clip),
                window=window,
                familiarities=[
                    look for answer in answers if (look := answer.familiarities[row]) is not None
                ],
                notes=self._models[0].notes(performances.take(torch.tensor([row]))),
            )
            for row, (clip, window) in enumerate(zip(clips, windows, strict=True))
        ]


@dataclass(frozen=True)
class _Answers:
    """What one model says of N performances, one by one."""

    predictions: list[ScorePrediction]
    familiarities: list[Familiarity | None]


class _Ready:
    """A model ready to score: its backbone runs as it did when the model was evaluated."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained
        usage = trained.usage
        self._net = for_inference(trained.model) if usage.from_features else trained.model.eval()

    def answers(self, windows: Sequence[Window], performances: Performances) -> _Answers:
        """Return what the model says of the performances in `windows`."""
        features = self._features(windows)
        precision = self.trained.usage.precision
        predictions = score_features(self._net, features, performances, precision)
        rows = [torch.tensor([row]) for row in range(len(windows))]
        return _Answers(
            [predictions.take(row) for row in rows],
            [familiarity_of(self.trained, each) for each in features],
        )

    @torch.no_grad()
    def _features(self, windows: Sequence[Window]) -> Tensor:
        """Return the clip features (N, K, D) of windows."""
        trained, usage = self.trained, self.trained.usage
        clips = make_clips(
            FrameBatch.of_windows(
                [torch.from_numpy(each.frames) for each in windows], usage.layout
            ),
            layout=usage.layout,
            normalization=usage.normalization,
            device=trained.device,
        )
        with autocast(trained.device, usage.precision):
            features = self._net.features(clips)
        if not usage.from_features:
            return features
        features = features.float()
        averaged = trained.model.spec.neck == "mean"
        return features.mean(dim=1, keepdim=True) if averaged else features

    def notes(self, performance: Performances) -> list[str]:
        """Return what there is to know of one performance, a sentence each."""
        notes = []
        known, difficulty = self.trained.usage.trained_on, float(performance.difficulty)
        if known is not None and self.trained.usage.has_difficulty:
            low, high = (round(limit, 6) for limit in known.difficulty)
            if not low <= round(difficulty, 6) <= high:
                notes.append(
                    f"the difficulty {difficulty:g} is outside that of the training samples, "
                    f"{low:g} to {high:g}"
                )
        head = self.trained.model.head
        if isinstance(head, ExemplarHead) and head.exemplars.by != "any":
            alike = head.alike(performance.difficulty, action_class=performance.action_class)
            num, wanted = int(alike.sum()), head.exemplars.num_voters
            what = head.exemplars.by.replace("_", " ")
            if num == 0:
                notes.append(f"no exemplar has its {what}; those of the nearest difficulty vote")
            elif num < wanted:
                notes.append(f"only {num} exemplars have its {what}, where {wanted} should vote")
        return notes


def _difficulty(clip: Clip) -> float:
    return 1.0 if clip.difficulty is None else clip.difficulty


def _finished(
    waiting: deque[tuple[Clip, Future[Window]]],
) -> list[tuple[Clip, Future[Window]]]:
    """Take from `waiting` the first clip, when it has been read, and those after it that are."""
    batch = [waiting.popleft()]
    batch[0][1].exception()  # waits
    while waiting and len(batch) < _BATCH and waiting[0][1].done():
        batch.append(waiting.popleft())
    return batch


def _common_view(models: Sequence[TrainedModel]) -> View:
    """Return how the models look at videos.

    Raises:
        ModelError: there is none, one does not know, or they differ.
    """
    if not models:
        raise ModelError("a scorer needs a model file; give at least one.")
    views = []
    for trained in models:
        if trained.usage.frames is None:
            raise ModelError(
                "a model file does not say how frames are made from a video; train it again, or "
                "import it again (evaluate.checkpoint), with this version."
            )
        views.append(View(trained.usage.frames, trained.layout))
    if any(view != views[0] for view in views):
        raise ModelError(
            "the models of an ensemble look at videos in different ways (extract_frames or "
            "train.clips differ); give models that were trained on the same frames and clips."
        )
    return views[0]
