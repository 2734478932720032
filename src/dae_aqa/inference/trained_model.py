"""A trained model and how it looks at a performance: all that scoring needs, in one file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from dae_aqa.clips.augmentation import Augmenter
from dae_aqa.clips.dataset import SampleDataset
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.clips.options import ClipOptions
from dae_aqa.errors import ModelError, ParamsError
from dae_aqa.inference.familiarity import TrainingFeatures
from dae_aqa.inference.feeds import ClipFeed
from dae_aqa.inference.options import Precision
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.build import is_model_file, load_model, load_released_checkpoint, save_model
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.normalization import IMAGENET, Normalization
from dae_aqa.models.targets import Targets
from dae_aqa.options import FROM_LIST, Options, PositiveInt, parse_options
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.wording import first_few


def model_file(models_dir: Path, part: str) -> Path:
    """Return the file of the model of `part`, a name of `dae_aqa.tables.parts`."""
    return models_dir / f"{part or 'model'}.pt"


class TrainingRange(Options):
    """What the training samples were, for whoever looks at a score.

    Attributes:
        num_samples: how many there were.
        final_score: lowest and highest final score, in points.
        difficulty: lowest and highest degree of difficulty.
    """

    num_samples: PositiveInt
    final_score: Annotated[tuple[float, float], FROM_LIST]
    difficulty: Annotated[tuple[float, float], FROM_LIST]

    @classmethod
    def of(cls, targets: Targets) -> TrainingRange:
        """Return that of the training samples' targets."""
        final, difficulty = targets.final_score, targets.difficulty
        return cls(
            num_samples=len(final),
            final_score=(float(final.min()), float(final.max())),
            difficulty=(float(difficulty.min()), float(difficulty.max())),
        )


class Usage(Options):
    """What a model file says on how the model is used.

    Attributes:
        layout: of the clips.
        normalization: of the pixels.
        has_difficulty: whether its training samples had difficulties other than 1.0; True where
            that is not known, as of a released checkpoint.
        precision: of the forward pass.
        from_features: the backbone was frozen, so its features are taken as they were in training.
        frames: how the frames of its training samples were made from videos; None where that is not
            known.
        trained_on: what the training samples were; None where that is not known.
    """

    layout: ClipLayout
    normalization: Normalization
    has_difficulty: bool = True
    precision: Precision = "fp32"
    from_features: bool = False
    frames: NumberedFrameOptions | None = None
    trained_on: TrainingRange | None = None


class Seen(Options):
    """Performances that had a part in a training: they trained the model, or chose its epoch.

    Attributes:
        performances_of: the dataset whose sample_ids name them, see
            `datasets.options.DatasetOptions.PERFORMANCES_OF`.
        sample_ids: their names, ordered.
    """

    performances_of: str
    sample_ids: list[str]

    @classmethod
    def of_weights(cls, path: Path) -> Seen | None:
        """Return what the model file at `path` has seen; None where that is not known.

        Raises:
            ModelError: the file is missing or damaged.
        """
        return TrainedModel.load(path).seen if is_model_file(path) else None

    def among(self, sample_ids: Iterable[str], *, performances_of: str) -> list[str]:
        """Return those of `sample_ids` that were seen, if they are names of the same dataset."""
        known = set(self.sample_ids) if performances_of == self.performances_of else set()
        return [name for name in sample_ids if name in known]


@dataclass(frozen=True)
class TrainedModel:
    """A model, and how it is used.

    Attributes:
        model: in evaluation mode unless it is being trained.
        usage: how performances are shown to it.
        seen: performances that had a part in its training, or in that of its backbone; None where
            no other dataset has them too.
        features: what its training samples look like to it; None where that is not known.
    """

    model: ScoreModel
    usage: Usage
    seen: Seen | None = None
    features: TrainingFeatures | None = None

    @classmethod
    def released(
        cls, path: Path, *, model: str, clips: ClipOptions, frames: NumberedFrameOptions
    ) -> TrainedModel:
        """Return the model of a checkpoint of the released DAE code, with ImageNet normalisation.

        Raises:
            ModelError: the file is no such checkpoint.
        """
        usage = Usage(layout=clips.layout, normalization=IMAGENET, frames=frames)
        return cls(load_released_checkpoint(path, model=model), usage)

    @classmethod
    def load(cls, path: Path) -> TrainedModel:
        """Return what `save` wrote.

        Raises:
            ModelError: the file is missing, damaged, edited or of another kind.
        """
        model, content = load_model(path)
        seen, features = content.pop("seen", None), content.pop("features", None)
        try:
            usage = parse_options(Usage, content, source="usage")
            known = None if seen is None else parse_options(Seen, seen, source="seen")
        except ParamsError as error:
            raise ModelError(
                f"{path}: says nothing usable on how its clips are made; train it again. {error}"
            ) from error
        look = None if features is None else TrainingFeatures.from_file(features, path=path)
        return cls(model, usage, known, look)

    def save(self, path: Path) -> None:
        """Write the model file, whole or not at all."""
        content = self.usage.model_dump(mode="json")
        if self.seen is not None:
            content["seen"] = self.seen.model_dump(mode="json")
        if self.features is not None:
            content["features"] = self.features.values
        save_model(self.model, path, usage=content)

    @property
    def layout(self) -> ClipLayout:
        """Of the clips."""
        return self.usage.layout

    @property
    def normalization(self) -> Normalization:
        """Of the pixels."""
        return self.usage.normalization

    def check_exemplars(self, tested: ScoredSamples) -> None:
        """Check that no sample is compared with itself, as an exemplar whose score is known.

        Raises:
            ModelError: exemplars are among `tested`, by name and score; all are named.
        """
        head = self.model.head
        if not isinstance(head, ExemplarHead):
            return
        scores = dict(zip(head.exemplars.sample_ids, head.scores.tolist(), strict=True))
        own = tested.targets.execution_score.tolist()
        among = [
            name
            for name, score in zip(tested.sample_ids, own, strict=True)
            if name in scores and math.isclose(scores[name], score, rel_tol=1e-5)
        ]
        if among:
            raise ModelError(
                f"{len(among)} test sample(s) are exemplars of the model, whose scores it knows: "
                f"{first_few(among)}. Test it on others, or train it again on this split."
            )

    @property
    def needs_difficulty(self) -> bool:
        """Whether a final score cannot be told from the frames alone."""
        return self.usage.has_difficulty and self.model.head.needs_difficulty

    @property
    def needs_action_class(self) -> bool:
        """Whether a score cannot be told without the class of what was performed."""
        head = self.model.head
        return isinstance(head, ExemplarHead) and head.exemplars.by == "action_class"

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device

    def feed(
        self,
        sample_ids: Sequence[str],
        *,
        frames_dir: Path,
        num_workers: int,
        cache: bool,
        augmenter: Augmenter | None = None,
    ) -> ClipFeed:
        """Return a feed of the samples' clips on the model's device.

        Args:
            sample_ids: the samples.
            frames_dir: folder of packed samples.
            num_workers: loader processes.
            cache: keep the scaled frames in memory, for more than one pass.
            augmenter: draws the augmentations of training; None for none.
        """
        return ClipFeed(
            SampleDataset(
                sample_ids=sample_ids,
                frames_dir=frames_dir,
                layout=self.layout,
                augmenter=augmenter,
                cache=cache,
            ),
            layout=self.layout,
            normalization=self.normalization,
            num_workers=num_workers,
            device=self.device,
        )
