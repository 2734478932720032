"""Clip features of a video: the published ones, an independent oracle, and wrong inputs."""

from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from torch.nn import functional as F

from dae_aqa.cli import main as cli
from dae_aqa.cli import video_features
from dae_aqa.cli.video_features import FeatureExtractor
from dae_aqa.clips.layout import PUBLISHED_LAYOUT, ClipLayout
from dae_aqa.inference.trained_model import TrainedModel, Usage
from dae_aqa.models.build import build_model
from dae_aqa.models.normalization import HALF, IMAGENET
from dae_aqa.video.probe import video_index

States = dict[str, dict[str, torch.Tensor]]
EXACT_BICUBIC = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
SMALL_LAYOUT = ClipLayout(
    starts=(0, 4), num_frames=8, stride=2, crop_px=48, size_px=32, jitter_px=2
)


@pytest.fixture(scope="module")
def i3d_files(i3d_states: States, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of I3D weights by layout."""
    folder = tmp_path_factory.mktemp("weights")
    for layout, state in i3d_states.items():
        torch.save(state, folder / f"{layout}.pt")
    return {layout: folder / f"{layout}.pt" for layout in i3d_states}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, Path]:
    """A model of this project with clips of its own, and its file."""
    torch.manual_seed(0)
    model = build_model(
        model="dae",
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    ).eval()
    made = TrainedModel(model, Usage(layout=SMALL_LAYOUT, normalization=IMAGENET))
    path = tmp_path_factory.mktemp("model") / "model.pt"
    made.save(path)
    return made, path


@pytest.fixture
def rgb(tmp_path: Path) -> Path:
    """Thirty RGB frames of 64x60 px."""
    frames = np.random.default_rng(0).integers(0, 256, (30, 60, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "rgb.npy", frames)
    return tmp_path / "rgb.npy"


def features(*arguments: object, out: Path) -> np.ndarray:
    assert cli.main(["features", *map(str, arguments), "--out", str(out)]) == 0
    result: np.ndarray = np.load(out)
    assert result.dtype == np.float32
    return result


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("layout", ["inception", "model_rgb"])
def test_published_weights_give_the_references_features(
    layout: str,
    i3d_files: dict[str, Path],
    golden: ModuleType,
    reference: dict[str, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "clip.npy", golden.clip(int(reference["seed"]))[0])
    out = tmp_path / "features.npy"
    got = features(tmp_path / "clip.npy", "--weights", i3d_files[layout], "--starts", 0, out=out)
    assert_close(got, reference[layout])
    np.testing.assert_allclose(
        got, reference[layout], rtol=1e-4, atol=1e-6 * np.abs(reference[layout]).max()
    )
    assert f"float32 (1, 1024) of I3D ({layout}), 0 to " in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.npy", "features.npy"]


@pytest.mark.slow
def test_ten_clips_of_a_released_checkpoint_are_the_references(
    i3d_states: States, golden: ModuleType, reference: dict[str, np.ndarray], tmp_path: Path
) -> None:
    seed = int(reference["seed"])
    head = {k: torch.from_numpy(v) for k, v in golden.fill(golden.load_spec("dae"), seed).items()}
    torch.save(
        {"i3d": i3d_states["inception"], "dae": head, "epoch": 3, "rho_best": np.float64(0.9)},
        tmp_path / "released.pth",
    )
    np.save(tmp_path / "video.npy", golden.clip(seed + 1, frames=103)[0])
    got = features(
        tmp_path / "video.npy", "--weights", tmp_path / "released.pth", out=tmp_path / "f.npy"
    )
    assert_close(got, reference["video_clips"])


def test_a_real_video_against_an_oracle(
    shared_dir: Path, i3d_files: dict[str, Path], tmp_path: Path
) -> None:
    """Decoded, scaled, cropped and normalised by hand."""
    video = shared_dir / "videos/demo_h264.mp4"
    with av.open(str(video)) as container:
        images = [
            frame.reformat(
                width=455, height=256, format="rgb24", interpolation=EXACT_BICUBIC
            ).to_ndarray()
            for frame in container.decode(video=0)
        ]
    frames = torch.from_numpy(np.stack(images)[40:60]).permute(3, 0, 1, 2)[None] / 255.0
    frames = frames[..., 16:240, 115:339]  # 224 of 256 and of 455
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1, 1)
    net = FeatureExtractor.load(i3d_files["inception"]).backbone
    with torch.no_grad():
        expected = torch.cat([net((frames[:, :, s : s + 16] - mean) / std) for s in (0, 4)])
    got = features(
        *(video, "--weights", i3d_files["inception"], "--starts", 40, 44, "--batch", 1),
        out=tmp_path / "f.npy",
    )
    assert_close(got, expected.numpy())


def test_a_model_files_own_clips(
    trained: tuple[TrainedModel, Path], rgb: Path, tmp_path: Path
) -> None:
    """The oracle scales, cuts and normalises as the model's evaluation does, with other code."""
    made, path = trained
    got = features(rgb, "--weights", path, "--last", 25, out=tmp_path / "f.npy")
    frames = torch.from_numpy(np.load(rgb)[5:]).permute(0, 3, 1, 2)
    square = frames[..., 3:57, 5:59]  # 48 px and a margin of 2 of 32 px on each side: 54 px
    scaled = F.interpolate(square, size=(36, 36), mode="bilinear", antialias=True)[..., 2:34, 2:34]
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
    clips = [scaled[s : s + 16 : 2].transpose(0, 1)[None] / 255.0 for s in (0, 4)]
    with torch.no_grad():
        expected = [made.model.backbone((clip - mean) / std) for clip in clips]
    assert_close(got, torch.cat(expected).numpy())


def test_options_replace_what_the_file_says(
    trained: tuple[TrainedModel, Path], rgb: Path, tmp_path: Path
) -> None:
    made, path = trained
    got = features(
        *(rgb, "--weights", path, "--starts", 3, "--num-frames", 9, "--stride", 1),
        *("--crop-px", 40, "--normalization", "backbone"),
        out=tmp_path / "new" / "f.npy",
    )
    frames = torch.from_numpy(np.load(rgb)[3:12, 10:50, 12:52]).permute(3, 0, 1, 2)[None]
    with torch.no_grad():
        expected = made.model.backbone(frames / 127.5 - 1.0).numpy()
    assert_close(got, expected)
    changed = FeatureExtractor(made.model.backbone, PUBLISHED_LAYOUT, HALF).with_clips(
        starts=None,
        num_frames=None,
        stride=None,
        crop_px=256,
        size_px=112,
        normalization="imagenet",
    )
    assert (changed.layout.crop_px, changed.layout.size_px) == (256, 112)
    assert changed.layout.starts == PUBLISHED_LAYOUT.starts
    assert changed.normalization == IMAGENET


class _Payload:
    """A pickle that would run code."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def _refused(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: object) -> str:
    """Run the command, which must fail and leave no file; return what it says."""
    before = sorted(folder.rglob("*"))
    out = folder / "features.npy"
    assert cli.main(["features", *map(str, arguments), "--out", str(out)]) == 1
    assert sorted(folder.rglob("*")) == before
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_weights_that_are_refused(
    trained: tuple[TrainedModel, Path],
    rgb: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"Conv3d_1a_7x7.conv3d.weight": _Payload(tmp_path / "ran")}, path)
    said = _refused(capsys, tmp_path, rgb, "--weights", path)
    assert "weights.pt: refused, since it holds Python objects that could run code" in said
    path.write_bytes(trained[1].read_bytes()[:50_000])
    assert "weights.pt: truncated or damaged" in _refused(capsys, tmp_path, rgb, "--weights", path)
    torch.save({"layer1.0.conv1.weight": torch.zeros(2)}, path)
    said = _refused(capsys, tmp_path, rgb, "--weights", path)
    assert "weights.pt: not the weights of an I3D" in said
    torch.save({"i3d": torch.zeros(2), "dae": {}}, path)
    said = _refused(capsys, tmp_path, rgb, "--weights", path)
    assert "weights.pt: not the weights of an I3D" in said
    path.unlink()
    assert "weights.pt: no such file" in _refused(capsys, tmp_path, rgb, "--weights", path)


def test_videos_that_are_refused(
    shared_dir: Path,
    trained: tuple[TrainedModel, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = ("--weights", trained[1])
    videos = shared_dir / "videos"
    for name, options, told in (
        ("corrupted.mp4", ("--starts", 0, 84), "corrupted.mp4: "),
        ("demo_h264.mp4", ("--starts", 900), "starts that fit (--starts 0 10 …)"),
        ("demo_h264.mp4", ("--last", 900), "the last 900 are asked for"),
        ("demo_h264.mp4", ("--crop-px", 300), "455x256 px, smaller than the crop of 300 px"),
        ("absent.mp4", (), "absent.mp4: no such video file"),
    ):
        assert told in _refused(capsys, tmp_path, videos / name, *weights, *options), name
    note = tmp_path / "note.mp4"
    note.write_text("no video")
    assert "note.mp4: cannot be opened as a video" in _refused(capsys, tmp_path, note, *weights)


def test_the_last_frames_of_a_video_that_was_cut_off_are_not_known(
    shared_dir: Path,
    trained: tuple[TrainedModel, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = shared_dir / "videos/demo_h264.mp4"
    index = dataclasses.replace(video_index(video), is_truncated=True)
    monkeypatch.setattr(video_features, "video_index", lambda path: index)
    said = _refused(capsys, tmp_path, video, "--weights", trained[1], "--last", 20)
    assert "demo_h264.mp4: cut off, so its last frames are not known" in said


def test_arrays_that_are_refused(
    trained: tuple[TrainedModel, Path],
    rgb: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = ("--weights", trained[1])
    path = tmp_path / "input.npy"
    normalised = np.zeros((3, 30, 32, 32), dtype=np.float32)
    normalised[1, 2, 3, 4] = np.nan
    for array, told in (
        (np.zeros((30, 60, 64, 3)), "normalised already, as np.save writes them; got float64"),
        (np.zeros((30, 3, 60, 64), dtype=np.uint8), "got uint8 (30, 3, 60, 64)"),
        (normalised[None], "got float32 (1, 3, 30, 32, 32)"),
        (normalised, "input.npy: holds NaN or infinity"),
        (normalised[:, :10], "input.npy: 10 frames are to be used"),
    ):
        np.save(path, array)
        assert told in _refused(capsys, tmp_path, path, *weights)
    for content in (
        pickle.dumps(_Payload(tmp_path / "ran")),
        rgb.read_bytes()[:5000],
        b"",
    ):
        path.write_bytes(content)
        said = _refused(capsys, tmp_path, path, *weights)
        assert "input.npy: not readable as an array" in said
    np.save(path, np.array([_Payload(tmp_path / "ran")], dtype=object), allow_pickle=True)
    assert "not readable as an array" in _refused(capsys, tmp_path, path, *weights)
    np.savez(path.open("wb"), rgb=np.zeros(3))
    assert "input.npy: not readable as an array" in _refused(capsys, tmp_path, path, *weights)
    path.unlink()
    assert "input.npy: no such file" in _refused(capsys, tmp_path, path, *weights)


def _npy(path: Path, *, descr: str = "|u1", shape: str, num_bytes: int = 2000) -> Path:
    """Write a .npy file whose header says what no `np.save` would write."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    path.write_bytes(magic + header + bytes(num_bytes))
    return path


def test_headers_that_lie_are_refused(
    trained: tuple[TrainedModel, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "input.npy"
    for shape, told in (
        ("(-1, 60, 64, 3)", "must be positive"),
        ("(-30, -60, 64, 3)", "not readable as an array"),
        ("(10000000000, 60, 64, 3)", "greater than file size"),
        (f"({2**62}, 60, 64, 3)", "not readable as an array"),
        (f"({2**40}, {2**40}, 64, 3)", "not readable as an array"),
        ("(0, 60, 64, 3)", "got uint8 (0, 60, 64, 3)"),
        (f"({2**40}, 0, 64, 3)", f"got uint8 ({2**40}, 0, 64, 3)"),
        ("(1.0, 60, 64, 3)", "shape is not valid"),
        ("(" * 5000, "not readable as an array"),
        ("(" + "9" * 5000 + ", 60, 64, 3)", "Cannot parse header"),
    ):
        said = _refused(capsys, tmp_path, _npy(path, shape=shape), "--weights", trained[1])
        assert "input.npy: " in said, shape
        assert told in said, shape
        assert len(said) < 700, shape


def test_options_that_would_fill_the_memory_are_refused(
    shared_dir: Path,
    trained: tuple[TrainedModel, Path],
    rgb: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = shared_dir / "videos/demo_h264.mp4"
    for option, told in (
        (
            ("--num-frames", 10**10),
            "made so. Change the options: 1 problem(s):\n  num_frames: 10",
        ),
        (("--num-frames", 50_000), "clips of 50000 frames (stride 2) that start at 0, 4 need 1000"),
        (
            ("--stride", 10**10),
            "stride: 10000000000 is out of range; expected a number >= 1",
        ),
        (("--starts", 10**10), "starts[0]: 10000000000 is out of range; expected a number >= 0"),
        (("--crop-px", 10**6), "crop_px: 1000000 is out of range; expected a number >= 16"),
        (("--size-px", 10**6), "size_px: 1000000 is out of range; expected a number >= 16"),
        (("--width", 10**6), "frames cannot be scaled to 1000000x256 px; give at most 8192"),
        (("--height", 8193), "frames cannot be scaled to 455x8193 px; give at most 8192"),
    ):
        for source in (video, rgb):
            said = _refused(capsys, tmp_path, source, "--weights", trained[1], *option)
            assert told in said, (option, said)


def test_the_input_is_not_overwritten(
    trained: tuple[TrainedModel, Path],
    rgb: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "linked.npy").symlink_to(rgb)
    (tmp_path / "same.npy").hardlink_to(rgb)
    (tmp_path / "folder").symlink_to(tmp_path)
    weights = tmp_path / "model.pt"
    weights.write_bytes(trained[1].read_bytes())
    content = rgb.read_bytes()
    for video, out in (
        (rgb, rgb),
        (rgb, tmp_path / "linked.npy"),
        (tmp_path / "linked.npy", rgb),
        (rgb, tmp_path / "same.npy"),
        (rgb, tmp_path / "folder" / rgb.name),
        (rgb, weights),
    ):
        arguments = ["features", str(video), "--weights", str(weights), "--out", str(out)]
        assert cli.main(arguments) == 1
        assert "which it would overwrite; give another name" in capsys.readouterr().err
        assert rgb.read_bytes() == content
        assert weights.read_bytes() == trained[1].read_bytes()
    other = tmp_path / "other.npy"  # an output of before is replaced
    other.write_bytes(b"old")
    assert features(rgb, "--weights", weights, out=other).shape == (2, 256)


def test_a_file_that_cannot_be_written(
    trained: tuple[TrainedModel, Path],
    rgb: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "features.npy").mkdir()
    said = _refused(capsys, tmp_path, rgb, "--weights", trained[1])
    assert "features.npy: cannot write" in said


@pytest.mark.parametrize("option", [("--starts", "-1"), ("--stride", "0"), ("--batch", "many")])
def test_numbers_out_of_range(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["features", "v.mp4", "--weights", "w.pt", "--out", "f.npy", *option])
    assert option[0] in capsys.readouterr().err
