"""The section `datasets.mtl_aqa`."""

from __future__ import annotations

from collections.abc import Iterator

from dae_aqa.datasets.options import DatasetOptions
from dae_aqa.options import Text, UserPath
from dae_aqa.scoring import RuleName
from dae_aqa.wording import shown


def _addresses_are_http(options: MtlAqaOptions) -> Iterator[str]:
    source = options.annotations_source
    if "://" in source and not source.startswith(("http://", "https://")):
        yield (
            f"annotations_source: {shown(source)}; expected a folder, a zip file or an address "
            "that begins with http:// or https://."
        )


class MtlAqaOptions(DatasetOptions):
    """Where MTL-AQA's annotations and broadcasts come from.

    Attributes:
        annotations_source: folder, zip file or address of the release.
        videos_dir: folder of the user's own broadcasts, named by number, or None.
        video_list: addresses of the broadcasts, or None for the release's own list.
        video_format: yt-dlp's format selection.
    """

    RULES = (_addresses_are_http,)

    annotations_source: UserPath
    videos_dir: UserPath | None
    video_list: UserPath | None
    video_format: Text
    scoring_rule: RuleName
