"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch

    from dae_aqa.params import Params
    from dae_aqa.training.options import TrainingOptions
    from tests.tiny_training import MakeOptions, MakeParams, TinyData

REPO_ROOT = Path(__file__).resolve().parents[1]
SETTINGS = (
    *("DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"),
    *("MLFLOW_TRACKING_URI", "DAE_AQA_CACHE"),
)


# `make test &` in a script ignores Ctrl-C, and so would every process that a test starts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear what the environment says, and undo what a test, or a library in it, sets there.

    MLflow's `set_tracking_uri`, for one, sets a variable, which would reach every later test of the
    same process.
    """
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # or there is nothing that `delenv` remembers to undo
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return REPO_ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Read-only test material that lies beside the repository and is no part of it."""
    path = REPO_ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip(f"needs the test material in {path.name}/ beside the repository")
    return path


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the numbered video of a kind, 120 frames, made once."""
    from tests.numbered_videos import MAKERS  # it imports PyAV, which most tests do without

    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = MAKERS[kind](tmp_path_factory.mktemp(kind), 120)
        return made[kind]

    return get


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> ModuleType:
    """The script that makes the deterministic reference weights and inputs."""
    spec = importlib.util.spec_from_file_location("weights", shared_dir / "golden/weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference(shared_dir: Path) -> dict[str, np.ndarray]:
    """What the reference implementations compute with those weights."""
    with np.load(shared_dir / "golden/i3d_features.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def i3d_states(
    golden: ModuleType, reference: dict[str, np.ndarray]
) -> dict[str, dict[str, torch.Tensor]]:
    """State dicts under the published names, by layout."""
    import torch  # half of the tests do without

    seed = int(reference["seed"])
    return {
        layout: {
            key: torch.from_numpy(value)
            for key, value in golden.fill(golden.load_spec(f"i3d_{layout}"), seed).items()
        }
        for layout in ("inception", "model_rgb")
    }


@pytest.fixture(scope="session")
def small_params(repo_root: Path) -> MakeParams:
    """Make the parameters of a tiny training, with further changes by dotted key."""
    from tests.tiny_training import make_small_params

    def make(changes: dict[str, Any] | None = None) -> Params:
        return make_small_params(repo_root / "params.yaml", changes)

    return make


@pytest.fixture(scope="session")
def small_options(small_params: MakeParams) -> MakeOptions:
    """Make the options of a tiny training, with further changes by dotted key."""

    def make(changes: dict[str, Any] | None = None) -> TrainingOptions:
        return small_params(changes).training

    return make


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    from tests.tiny_training import make_tiny_data

    return make_tiny_data(tmp_path_factory.mktemp("frames"))


@pytest.fixture
def own_torch_settings() -> Iterator[None]:
    """A training sets torch's threads and determinism; other tests shall not feel it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
