"""The packed sample: deterministic bytes, checked reads, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dae_aqa import packs
from dae_aqa.errors import FrameStoreError, OutputError
from dae_aqa.packs.store import PackedSample, SampleMeta, write_packed_sample

IMAGES = [b"\xff\xd8" + bytes([i]) * (50 + i) for i in range(5)]


def meta(**changes: object) -> SampleMeta:
    values: dict[str, object] = {
        "sample_id": "a",
        "video_id": "v",
        "video_sha256": "0" * 64,
        "numbering": "decoded",
        "window": "end",
        "frame_numbers": (4, 5, 6, 7, 8),
        "window_offset": 1,
        "window_length": 3,
        "num_repeated_before": 0,
        "num_repeated_after": 0,
        "width": 32,
        "height": 16,
        "image_format": "jpeg",
    }
    return SampleMeta(**(values | changes))  # type: ignore[arg-type]


def test_written_sample_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_packed_sample(path, meta=meta(), images=IMAGES)
    with PackedSample.open(path) as sample:
        sample.verify()
        assert sample.meta == meta()
        assert sample.meta.num_frames == 5
        assert sample.read([3, 0, 3]) == [IMAGES[3], IMAGES[0], IMAGES[3]]
        with pytest.raises(FrameStoreError, match="no image 5; it holds 0 to 4"):
            sample.read([5])


def test_an_ordinary_zip_reader_agrees(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_packed_sample(path, meta=meta(), images=IMAGES)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["meta.json", *(f"00000{i}.jpg" for i in range(5))]
        assert archive.read("000002.jpg") == IMAGES[2]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_packed_sample(tmp_path / name, meta=meta(), images=IMAGES)
        os.utime(tmp_path / name, (1, 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_packed_sample(path, meta=meta(), images=IMAGES)
    good = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        payload = {
            place
            for info in archive.infolist()
            for start in [info.header_offset + 30 + len(info.filename)]
            for place in range(start, start + info.file_size)
        }
    for place in sorted(payload)[::7]:
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(FrameStoreError, match="damaged"), PackedSample.open(path) as sample:
            sample.verify()


@pytest.mark.parametrize("size", [0, 1, 30, 300, -1])
def test_truncated_file_is_named(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_packed_sample(path, meta=meta(), images=IMAGES)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FrameStoreError, match=r"a\.zip: damaged packed sample"):
        PackedSample.open(path)


def test_missing_file_and_wrong_count(tmp_path: Path) -> None:
    with pytest.raises(FrameStoreError, match="cannot open the packed sample"):
        PackedSample.open(tmp_path / "none.zip")
    with pytest.raises(FrameStoreError, match="needs 5 images, got 4"):
        write_packed_sample(tmp_path / "a.zip", meta=meta(), images=IMAGES[:4])


def test_compressed_or_foreign_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", meta().to_json())
    with pytest.raises(FrameStoreError, match="compressed, expected stored"):
        PackedSample.open(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "it has format version 2, expected 1"),
        ({"colour": "red"}, "its fields are not format_version, frame_numbers"),
        ({"frame_numbers": [4, 5]}, "its window or its image format does not fit its frames"),
        ({"image_format": "bmp"}, "its window or its image format does not fit its frames"),
        ({"frame_numbers": [4, 5, 6, 7]}, "it holds 5 images, expected 4"),
        ({"image_format": "png"}, "it holds 5 images, expected 5, 000000.png on"),
    ],
)
def test_a_sample_of_another_layout_is_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("meta.json", json.dumps(json.loads(meta().to_json()) | change))
        for index, image in enumerate(IMAGES):
            archive.writestr(f"{index:06d}.jpg", image)
    with pytest.raises(FrameStoreError, match=f"a.zip: damaged packed sample: {message}"):
        PackedSample.open(tmp_path / "a.zip")


def test_full_disk_leaves_the_old_file_and_no_leftovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    write_packed_sample(path, meta=meta(), images=IMAGES)
    good = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.zip: no space left on the disk"):
        write_packed_sample(path, meta=meta(video_id="w"), images=IMAGES)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_what_the_disk_garbled_does_not_replace_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    write_packed_sample(path, meta=meta(), images=IMAGES)
    good = path.read_bytes()
    original = os.fsync

    def garble(descriptor: int) -> None:
        original(descriptor)
        os.pwrite(descriptor, b"\0\0\0\0", good.index(IMAGES[2]) + 10)

    monkeypatch.setattr(os, "fsync", garble)
    with pytest.raises(FrameStoreError, match="is damaged"):
        write_packed_sample(path, meta=meta(video_id="w"), images=IMAGES)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_training_needs_neither_pyav_nor_opencv_for_its_frames() -> None:
    names = [f"dae_aqa.packs.{module.name}" for module in pkgutil.iter_modules(packs.__path__)]
    assert "dae_aqa.packs.store" in names
    code = (
        f"import sys, {', '.join(names)}; "
        "print([m for m in ('av', 'cv2', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
