"""The section `datasets.mtl_aqa`."""

from __future__ import annotations

from collections.abc import Iterator

from dae_aqa.datasets.options import HeldDatasetOptions
from dae_aqa.options import Text, UserPath
from dae_aqa.scoring import RuleName
from dae_aqa.wording import shown


def _addresses_are_http(options: MtlAqaOptions) -> Iterator[str]:
    source = options.annotations_source or ""
    if "://" in source and not source.startswith(("http://", "https://")):
        yield (
            f"annotations_source: {shown(source)}; expected a folder, a zip file or an address "
            "that begins with http:// or https://."
        )


class MtlAqaOptions(HeldDatasetOptions):
    """Where MTL-AQA's annotations and broadcasts, or their frames, come from.

    Attributes:
        annotations_source: folder, zip file or address of the release, or a folder of its pickles
            alone; None: the folder `info` in `frames_dir` or beside it, else the release where it
            is published.
        frames_dir: folder with the frames of each broadcast (`07/000001.jpg`, …) or of each dive
            (`07_25/40170.jpg`, …), or with a folder `frames` of these, or None.
        released_window: the window that released code reads from the folders of dives, 3 frames
            before the one that papers describe.
        videos_dir: folder of the user's own broadcasts, named by number, or None.
        video_list: addresses of the broadcasts, or None for the release's own list.
        video_format: yt-dlp's format selection.
    """

    RULES = (_addresses_are_http,)
    PERFORMANCES_OF = "mtl_aqa"

    annotations_source: UserPath | None
    released_window: bool
    videos_dir: UserPath | None
    video_list: UserPath | None
    video_format: Text
    scoring_rule: RuleName
