"""A trained model and how it looks at a performance: all that scoring needs, in one file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dae_aqa.clips.augmentation import Augmenter
from dae_aqa.clips.dataset import FrameBatch, SampleDataset, scale_frames
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.clips.options import ClipOptions
from dae_aqa.clips.transform import make_clips
from dae_aqa.errors import ModelError, ParamsError
from dae_aqa.inference.feeds import ClipFeed
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.build import is_model_file, load_model, load_released_checkpoint, save_model
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.normalization import IMAGENET, NORMALIZATIONS, Normalization
from dae_aqa.models.targets import class_codes
from dae_aqa.options import Options, parse_options
from dae_aqa.wording import first_few


def model_file(models_dir: Path, part: str) -> Path:
    """Return the file of the model of `part`, a name of `dae_aqa.tables.parts`."""
    return models_dir / f"{part or 'model'}.pt"


class Usage(Options):
    """What a model file says on how the model is used.

    Attributes:
        layout: of the clips.
        normalization: of the pixels.
        has_difficulty: see `TrainedModel`.
    """

    layout: ClipLayout
    normalization: Normalization
    has_difficulty: bool


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
    """A model, and how clips are made for it.

    Attributes:
        model: in evaluation mode unless it is being trained.
        layout: of the clips.
        normalization: of the pixels.
        has_difficulty: whether its training samples had difficulties other than 1.0; True where
            that is not known, as of a released checkpoint.
        seen: performances that had a part in its training, or in that of its backbone; None where
            no other dataset has them too.
    """

    model: ScoreModel
    layout: ClipLayout
    normalization: Normalization
    has_difficulty: bool = True
    seen: Seen | None = None

    @classmethod
    def with_clips(
        cls, model: ScoreModel, clips: ClipOptions, *, has_difficulty: bool
    ) -> TrainedModel:
        """Return `model` with the clips that `train.clips` describes."""
        own = model.backbone.normalization
        normalization = NORMALIZATIONS.get(clips.normalization, own)
        return cls(model, clips.layout, normalization, has_difficulty)

    @classmethod
    def released(cls, path: Path, *, model: str, clips: ClipOptions) -> TrainedModel:
        """Return the model of a checkpoint of the released DAE code, with ImageNet normalisation.

        Raises:
            ModelError: the file is no such checkpoint.
        """
        return cls(load_released_checkpoint(path, model=model), clips.layout, IMAGENET)

    @classmethod
    def load(cls, path: Path) -> TrainedModel:
        """Return what `save` wrote.

        Raises:
            ModelError: the file is missing, damaged, edited or of another kind.
        """
        model, content = load_model(path)
        seen = content.pop("seen", None)
        try:
            usage = parse_options(Usage, content, source="usage")
            known = None if seen is None else parse_options(Seen, seen, source="seen")
        except ParamsError as error:
            raise ModelError(
                f"{path}: says nothing usable on how its clips are made; train it again. {error}"
            ) from error
        return cls(model, usage.layout, usage.normalization, usage.has_difficulty, known)

    def save(self, path: Path) -> None:
        """Write the model file, whole or not at all."""
        usage = Usage(
            layout=self.layout,
            normalization=self.normalization,
            has_difficulty=self.has_difficulty,
        )
        seen = {} if self.seen is None else {"seen": self.seen.model_dump(mode="json")}
        save_model(self.model, path, usage=usage.model_dump(mode="json") | seen)

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
        return self.has_difficulty and self.model.head.needs_difficulty

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

    @torch.no_grad()
    def score_frames(
        self,
        frames: NDArray[np.uint8],
        *,
        difficulty: NDArray[np.float64],
        action_class: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mu and sigma of the final score, (N,) each, for windows held in memory.

        Args:
            frames: uint8 RGB, (N, F, H, W, 3): the frames of N windows.
            difficulty: (N,), 1.0 where the sport has none.
            action_class: N names, as in the annotations table. Only a model that compares within a
                class looks at them (`needs_action_class`).

        Raises:
            ModelError: there is no window, they are shorter than the model's clips reach or smaller
                than its crop, or the classes are missing or not as many.
        """
        num_windows, num_frames, height, width, _ = frames.shape
        layout = self.layout
        if num_windows == 0 or num_frames < layout.reach:
            raise ModelError(
                f"the model looks at {layout.reach} frames of a window, got {num_windows} "
                f"window(s) of {num_frames} frames. Give longer ones."
            )
        if min(height, width) < layout.padded_crop_px:
            raise ModelError(
                f"the model looks at the centre square of {layout.padded_crop_px} px of a frame, "
                f"got frames of {width}x{height} px. Give them in the size that it was trained "
                "with (extract_frames.width and height)."
            )
        if action_class is None and self.needs_action_class:
            raise ModelError(
                "this model compares performances of one action class "
                "(train.exemplars.by: action_class). Give action_class, a name for each of the "
                f"{num_windows} window(s)."
            )
        if action_class is not None and len(action_class) != num_windows:
            raise ModelError(
                f"action_class must name the class of each of the {num_windows} window(s), got "
                f"{len(action_class)} name(s)."
            )
        windows = torch.from_numpy(np.ascontiguousarray(frames[:, layout.frame_indices]))
        scaled = [scale_frames(window.permute(0, 3, 1, 2), layout) for window in windows]
        clips = make_clips(
            FrameBatch.of_windows(scaled, layout),
            layout=layout,
            normalization=self.normalization,
            device=self.device,
        )
        prediction = self.model.predict(
            self.model(clips),
            torch.from_numpy(difficulty).to(self.device, torch.float32),
            action_class=None if action_class is None else class_codes(action_class),
        )
        return prediction.mu.cpu().numpy(), prediction.sigma.cpu().numpy()
