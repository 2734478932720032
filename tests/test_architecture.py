"""The rooms: imports go down only, never in a circle; the core needs few packages."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SRC = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SRC / "dae_aqa"

# from below to above: a room imports rooms that stand before it
ROOMS = (
    *("errors", "wording", "options", "scoring"),
    *("files", "running", "tables", "metrics", "splits"),
    *("video", "packs", "extraction", "datasets"),
    *("models", "clips", "inference", "tracking", "scorer", "training"),
    *("report", "evaluation", "method_table", "params", "service", "cli"),
)
WITHOUT_TORCH = ROOMS[: ROOMS.index("models")]
# what a bare GPU node has, with what these packages need themselves
CORE_PACKAGES = (
    *("torch", "torchvision", "numpy", "pandas", "scipy"),
    *("pydantic", "ruamel", "yaml", "filelock", "tqdm"),
)
CORE = ("training", "inference", "clips", "models", "params")


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere, `from a import b` as both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def wrong_imports(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """Lines on modules that import a room which does not stand below their own."""
    return [
        f"{name} imports {used}"
        for name, all_used in imports.items()
        for used in sorted(all_used)
        if room(name) and room(used) and room(used) != room(name)
        if ROOMS.index(room(used)) > ROOMS.index(room(name))
    ]


def test_every_room_has_its_place():
    assert {room(name) for name in modules()} - {""} == set(ROOMS)


def test_the_page_lists_the_rooms_in_their_order():
    page = (SRC.parent / "docs/architecture.md").read_text(encoding="utf-8")
    table = re.search(r"^\| room \|.*?\n\n", page, flags=re.MULTILINE | re.DOTALL)
    assert table is not None
    first_cells = [line.split("|")[1] for line in table[0].splitlines()[2:] if line]
    assert [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)] == [*ROOMS]


def test_rooms_import_downwards_only():
    imports = {name: imports_of(path) & set(modules()) for name, path in modules().items()}
    assert sum(map(len, imports.values())) > 200
    assert not wrong_imports(imports)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("dae_aqa.inference.feeds", "dae_aqa.training.loop"),
        ("dae_aqa.files.hashing", "dae_aqa.cli"),
    ],
)
def test_a_circle_of_rooms_is_noticed(lower, upper):
    """No circle of modules is needed: that each imports some module of the other's room is one."""
    assert wrong_imports({lower: [upper], upper: [lower]}) == [f"{lower} imports {upper}"]


def test_rooms_below_the_models_import_no_torch():
    wrong = [
        f"{name} imports {used}"
        for name, path in modules().items()
        if room(name) in WITHOUT_TORCH
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


@pytest.mark.parametrize(
    ("package", "rooms"),
    [("mlflow", {"tracking"}), ("av", {"video"}), ("yt_dlp", {"datasets"})],
)
def test_few_rooms_import_a_heavy_package(package, rooms):
    users = {
        room(name)
        for name, path in modules().items()
        if any(used.split(".")[0] == package for used in imports_of(path))
    }
    assert users == rooms


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
    assert {"mlflow", "dvc", "av", "cv2", "matplotlib", "yt_dlp"} <= set(absent)
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
