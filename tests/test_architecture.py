"""The floors: imports go down only, never in a circle; the core needs few packages."""

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SRC = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SRC / "dae_aqa"

FLOORS = {
    0: (
        *("errors", "params", "params_file", "params_rules", "annotations", "scoring"),
        *("metrics", "calibration", "predictions", "progress", "outputs", "runtime", "sources"),
        *("check", "sample_size", "lifetime"),
    ),
    1: ("datasets", "frames", "splits"),
    2: ("clips", "models", "device"),
    3: (
        "training",
        "trained_model",
        "video_features",
        "prediction",
        "evaluation",
        "report",
        "tracking",
        "run_record",
        "tracked_training",
        "scored_report",
        "recipes",
        "refresh",
        "doctor",
        "cli",
    ),
}  # fmt: skip
# what a bare GPU node has, with what these packages need themselves
CORE_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scipy", "yaml", "ruamel")
CORE = ("training", "clips", "models", "prediction", "trained_model", "params", "device")


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Modules that a file imports, by their full names, `from a import b` as both a and a.b."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(tree.body) if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor_of(name: str) -> int:
    return next(floor for floor, rooms in FLOORS.items() if name in rooms)


def test_every_room_has_a_floor():
    rooms = {room(name) for name in modules()} - {""}
    known = {name for names in FLOORS.values() for name in names}
    assert rooms == known


def test_imports_go_down_only():
    wrong = [
        f"{name} (floor {floor_of(room(name))}) imports {used}"
        for name, path in modules().items()
        if room(name)
        for used in imports_of(path) & set(modules())
        if room(used) and floor_of(room(used)) > floor_of(room(name))
    ]
    assert not wrong


def test_modules_import_in_no_circle():
    known = modules()
    graph = {
        name: {used for used in imports_of(path, top_level_only=True) & set(known) if used != name}
        for name, path in known.items()
    }
    # a package's __init__ gathers its modules, and importing one of them runs it first: that is no
    # circle of meaning, so only edges from packages to their own modules are left out
    for name, used in graph.items():
        graph[name] = {other for other in used if not other.startswith(f"{name}.")}
    graphlib.TopologicalSorter(graph).prepare()


def test_low_floors_import_no_torch():
    wrong = [
        f"{name} imports {used}"
        for name, path in modules().items()
        if room(name) and floor_of(room(name)) <= 1
        for used in imports_of(path)
        if used.split(".")[0] in ("torch", "torchvision")
    ]
    assert not wrong


def test_source_imports_neither_stages_nor_dvc():
    wrong = [
        f"{name} imports {used}"
        for name, path in modules().items()
        for used in imports_of(path)
        if used.split(".")[0] in ("stages", "dvc")
    ]
    assert not wrong


def test_only_tracking_imports_mlflow():
    users = {
        room(name)
        for name, path in modules().items()
        if any(used.split(".")[0] == "mlflow" for used in imports_of(path))
    }
    assert users == {"tracking"}


def needed_by(packages: Iterable[str]) -> set[str]:
    """Distributions that `packages` need, directly or not, themselves included."""
    owners = metadata.packages_distributions()
    queue = [owners[name][0] for name in packages]
    seen = set()
    while queue:
        name = canonicalize_name(queue.pop())
        if name in seen:
            continue
        seen.add(name)
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    return seen


def test_core_imports_on_a_bare_node():
    """Every module of the core is imported where no other package can be."""
    present = needed_by(CORE_PACKAGES)
    absent = sorted(
        name
        for name, owners in metadata.packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & present and name != "dae_aqa"
    )
    assert {"tqdm", "mlflow", "dvc", "av", "cv2", "matplotlib", "pydantic"} <= set(absent)
    core = [name for name in modules() if room(name) in CORE]
    script = (
        "import sys, importlib\n"
        f"for name in {absent!r}: sys.modules[name] = None\n"
        f"for name in {core!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
