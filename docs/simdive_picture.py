"""Draw the contact sheet of the README of simdive: dives from very good to poor, with their marks.

    python docs/simdive_picture.py ANNOTATIONS_CSV VIDEOS_DIR docs/images/simdive_dives.png

Works on the annotations table and the videos of any data set with judge scores.
"""

import argparse
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd

from dae_aqa.tables.annotations import execution_scores, read_annotations

QUANTILES = (0.98, 0.75, 0.45, 0.2, 0.03)
NUM_MOMENTS, WINDOW_FRAMES = 12, 68  # the last WINDOW_FRAMES before the annotated end
TILE = (170, 143)  # px; the middle two thirds of a frame
LABEL_PX = 22


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations_csv", type=Path)
    parser.add_argument("videos_dir", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    annotations = read_annotations(arguments.annotations_csv)
    scores = execution_scores(annotations)
    order = scores.sort_values().index
    chosen = [order[round(quantile * (len(order) - 1))] for quantile in QUANTILES]
    rows = [dive_row(annotations.loc[index], arguments.videos_dir) for index in chosen]
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(arguments.picture), np.concatenate(rows))


def dive_row(sample: pd.Series, videos_dir: Path) -> np.ndarray:
    """Return one labelled row of moments, (H, W, 3) uint8."""
    last = int(sample["end_frame"]) - 1
    wanted = np.linspace(last - WINDOW_FRAMES, last, NUM_MOMENTS).astype(int).tolist()
    tiles = []
    with av.open(str(videos_dir / f"{sample['video_id']}.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                image = frame.to_ndarray(format="bgr24")
                side = image.shape[1] // 6
                tiles.append(cv2.resize(image[:, side:-side], TILE, interpolation=cv2.INTER_AREA))
            if number == last:
                break
    half = len(tiles) // 2
    pictures = np.concatenate([np.concatenate(tiles[:half], 1), np.concatenate(tiles[half:], 1)])
    label = np.full((LABEL_PX, pictures.shape[1], 3), 245, np.uint8)
    marks = sample["judge_scores"].replace(";", "  ")
    text = (
        f"{sample['sample_id']}   {sample['action_class']}   DD {sample['difficulty']:.1f}   "
        f"marks {marks}   final {sample['final_score']:.2f}"
    )
    cv2.putText(label, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([label, pictures])


if __name__ == "__main__":
    main()
