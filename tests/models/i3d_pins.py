"""Features of an I3D of fixed weights, pinned: `python tests/models/i3d_pins.py` writes them anew.

When they were written, the same code gave the features of the reference implementations
(`test_i3d_features_are_the_references`, which needs test material from beside the repository).
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch

from dae_aqa.models.backbones.i3d import I3D, LAYOUTS

PINS = Path(__file__).with_name("i3d_pins.json")
CLIP = (1, 3, 10, 50, 71)  # even and odd sizes, which the layouts pad differently
EVERY = 64  # of the 1,024 features


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers in -1 … 1 that follow from a name alone: a hash, with no generator's stream.

    Source: the finaliser of MurmurHash3 (32 bits), public domain, of the index and the name's CRC.
    """
    numbers = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint64)
    mixed = (numbers + zlib.crc32(name.encode())) & 0xFFFFFFFF
    for factor, shift in ((0x85EBCA6B, 13), (0xC2B2AE35, 16)):
        mixed = ((mixed ^ (mixed >> 16)) * factor) & 0xFFFFFFFF
        mixed ^= mixed >> shift
    return (mixed / 2**31 - 1).reshape(shape)


def fixed_i3d(layout: str) -> I3D:
    """Return an I3D whose every tensor follows from its name; activations keep their size."""
    net = I3D(layout=layout).eval()
    state = {}
    for name, tensor in net.state_dict().items():
        values = uniform(name, tuple(tensor.shape))
        if name.endswith("num_batches_tracked"):
            values = np.zeros(tensor.shape)
        elif name.endswith("running_var") or name.endswith("bn.weight"):
            values = 1.0 + 0.2 * values
        elif tensor.ndim == 1:
            values = 0.15 * values
        else:
            values = values * np.sqrt(6.0 / np.prod(tensor.shape[1:]))
        state[name] = torch.from_numpy(values).to(tensor.dtype)
    net.load_state_dict(state)
    return net


def features(layout: str) -> np.ndarray:
    """Return the features (1024,) of the fixed clip."""
    clip = torch.from_numpy(2.0 * uniform("clip", CLIP)).float()
    with torch.no_grad():
        return fixed_i3d(layout)(clip)[0].numpy()


def main() -> None:
    pins = {}
    for layout in LAYOUTS:
        found = features(layout)
        pins[layout] = {
            "mean": float(found.mean()),
            "std": float(found.std()),
            "every_64th": [float(value) for value in found[::EVERY]],
        }
    PINS.write_text(json.dumps(pins, indent=1) + "\n")


if __name__ == "__main__":
    main()
