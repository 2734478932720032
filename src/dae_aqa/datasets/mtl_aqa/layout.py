"""Where things lie in the MTL-AQA release, and how its samples are named.

Layout (https://github.com/ParitoshParmar/MTL-AQA, folder `MTL-AQA_dataset_release`):

    Ready_2_Use/MTL-AQA_split_0_data/final_annotations_dict.pkl   frames, difficulty, score, dive
    Ready_2_Use/MTL-AQA_split_0_data/{train,test}_split_0.pkl     the official split
    Raw_Annotations/01.xlsx …                                     the judges' marks
    Video_List.xlsx                                               addresses of the broadcasts

Released code keeps the pickles alone, in one folder, with the marks in a dictionary (`INFO`).
"""

from __future__ import annotations

from pathlib import Path

# Where the release is published, at the commit that was read.
RELEASE_ADDRESS = (
    "https://raw.githubusercontent.com/ParitoshParmar/MTL-AQA/"
    "bf7dcb2e09e7e9d91eafe9ce58ed28f5b31f05d4/MTL-AQA_dataset_release"
)
_READY_DIR = "Ready_2_Use/MTL-AQA_split_0_data"
DICTIONARY = f"{_READY_DIR}/final_annotations_dict.pkl"
SPLITS = {"train": f"{_READY_DIR}/train_split_0.pkl", "test": f"{_READY_DIR}/test_split_0.pkl"}
VIDEO_LIST = "Video_List.xlsx"
# of the folder of pickles alone; the first one there is read
INFO = (
    "final_annotations_dict_with_dive_number.pkl",
    "augmented_final_annotations_dict.pkl",
    "final_annotations_dict.pkl",
)

Key = tuple[int, int]  # (video number, dive number), the release's own sample key


def video_id(video_number: int) -> str:
    """Return the `video_id` of a broadcast, e.g. `'01'`."""
    return f"{video_number:02d}"


def sample_id(key: Key) -> str:
    """Return the `sample_id` of a dive, e.g. `'01_003'` for dive 3 of broadcast 1."""
    return f"{video_id(key[0])}_{key[1]:03d}"


def sample_key(name: str) -> Key:
    """Return the dive of a `sample_id`."""
    video, dive = name.split("_")
    return int(video), int(dive)


def info_file(folder: Path) -> Path | None:
    """Return the dictionary in a folder of pickles alone; None where there is none."""
    return next((folder / name for name in INFO if (folder / name).is_file()), None)


def dictionary_file(release_dir: Path) -> Path:
    """Return the dictionary of the official release, else of a folder of pickles alone."""
    official = release_dir / DICTIONARY
    return official if official.is_file() else info_file(release_dir) or official


def workbook(video_number: int) -> str:
    """Return the path of a broadcast's workbook, below the release's folder."""
    return f"Raw_Annotations/{video_id(video_number)}.xlsx"
