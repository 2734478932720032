"""What every dataset's section holds, and the section `download`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from dae_aqa.options import Options, UserPath, Workers
from dae_aqa.scoring import RuleName
from dae_aqa.video.options import Numbering


class DatasetOptions(Options):
    """`datasets.<name>`: what the stages after `download` use of any dataset.

    Attributes:
        frame_numbering: which decoded frame a frame number means, see `dae_aqa.video.numbering`.
        scoring_rule: how judges' marks become an execution score; None where there are none.
        PERFORMANCES_OF: the dataset whose sample_ids it uses for the performances that both have;
            '' where it shares none with another.
    """

    PERFORMANCES_OF: ClassVar[str] = ""

    frame_numbering: Numbering
    scoring_rule: RuleName | None

    @property
    def frames_root(self) -> str | None:
        """The user's folder of images that stand in for videos; None where there are videos."""
        return None


class HeldDatasetOptions(DatasetOptions):
    """The section of a dataset that people hold as videos or as folders of frames.

    Attributes:
        frames_dir: folder that holds the folders of images, or None where videos are read. The
            README of the dataset shows its layout.
    """

    frames_dir: UserPath | None

    @property
    def frames_root(self) -> str | None:
        """The user's folder of images."""
        return self.frames_dir

    @property
    def held_key(self) -> str:
        """The key that names what is read: frames go before videos."""
        return "videos_dir" if self.frames_dir is None else "frames_dir"


def held_somehow(options: HeldDatasetOptions) -> Iterator[str]:
    """Yield what is wrong where the section, which has a key `videos_dir`, names nothing held."""
    if options.frames_dir is None and getattr(options, "videos_dir", None) is None:
        yield "frames_dir: null, and videos_dir is null too; name the one that you hold."


class DownloadOptions(Options):
    """`download`: how files and videos are fetched or rendered.

    Attributes:
        num_workers: videos rendered at once.
        num_retries: further tries after a lost connection.
        timeout_seconds: longest silence of a server.
        allow_missing: go on without the samples of videos that cannot be had.
    """

    num_workers: Workers
    num_retries: Annotated[int, Field(ge=0, le=16)]
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)]
    allow_missing: bool
