"""Writes small releases in the layout of MTL-AQA, for tests to damage."""

import pickle
from pathlib import Path

import openpyxl

READY = "Ready_2_Use/MTL-AQA_split_0_data"
HEADER = (
    ["Dive No.", "View", "Start Frame", "End Frame", "Position", "Difficulty", "Dive Type"]
    + ["armstand", "rotation_type", "# ss", "# tw", "Final Score"]
    + [f"Judge {number}" for number in range(1, 8)]
)
MARKS = [8.0, 8.5, 8.0, 7.5, 8.0, 8.5, 7.0]  # the middle three: 8.0 + 8.0 + 8.0 = 24.0


def dive(start: int = 11, end: int = 40, **changes: object) -> dict[str, object]:
    """Return an entry of the dictionary: 407C with difficulty 3.2 and 24.0 x 3.2 = 76.8 points."""
    return {
        "primary_view": 0,
        "start_frame": start,
        "end_frame": end,
        "position": 2,
        "difficulty": 3.2,
        "armstand": 0,
        "rotation_type": 2,
        "ss_no": 7,
        "tw_no": 0,
        "final_score": 76.8,
    } | changes


def dives(numbers: tuple[int, ...] = (1, 2), num_dives: int = 2) -> dict[object, dict]:
    return {
        (number, index): dive(100 * index + 1, 100 * index + 80)
        for number in numbers
        for index in range(1, num_dives + 1)
    }


def row(number: int, entry: dict, *, marks: list[object] | None = None, **changes: object) -> list:
    """Return the workbook's row of a dive, with cells replaced by column name."""
    cells = [
        *(number, "S", entry["start_frame"], entry["end_frame"], "Tuck", entry["difficulty"]),
        *("Inw. 3 1/2 Som.", 0, "i", 3.5, 0, entry["final_score"]),
        *(MARKS if marks is None else marks),
    ]
    for name, value in changes.items():
        cells[HEADER.index(name.replace("_", " "))] = value
    return cells


def write_workbook(path: Path, rows: list[list], *, header: list[str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.append(HEADER if header is None else header)
    for cells in rows:
        sheet.append(cells)
        sheet.append([None, "Comm", 1, 2])  # the other views of a dive have no number
    workbook.save(path)


def write_pickle(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_video_list(path: Path, addresses: dict[int, str]) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(["Sr. No.", "Video"])
    for number, address in addresses.items():
        workbook.active.append([number, address])
    workbook.save(path)


def write_release(folder: Path, *, addresses: dict[int, str] | None = None) -> Path:
    """Write a release of two broadcasts with two dives each; the first dive of each trains."""
    entries = dives()
    write_pickle(folder / READY / "final_annotations_dict.pkl", entries)
    write_pickle(folder / READY / "train_split_0.pkl", [key for key in entries if key[1] == 1])
    write_pickle(folder / READY / "test_split_0.pkl", [key for key in entries if key[1] == 2])
    for number in (1, 2):
        rows = [row(key[1], entries[key]) for key in entries if key[0] == number]
        write_workbook(folder / "Raw_Annotations" / f"{number:02d}.xlsx", rows)
    write_video_list(
        folder / "Video_List.xlsx",
        addresses or {number: f"http://127.0.0.1:9/{number}.mp4" for number in (1, 2)},
    )
    return folder
