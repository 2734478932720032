"""How many small mistakes in the code that decides a result do the fast tests notice?

    python benchmarks/mutants.py                      # 40 mutants of every room, about 30 minutes
    python benchmarks/mutants.py --rooms scoring metrics --sample 1000    # all of two rooms

mutmut (https://mutmut.readthedocs.io) changes one expression at a time in a copy of the working
tree and runs the tests of the room that reach it. Left out are changes of texts alone (messages,
logs, what is raised), and those that mutants_equivalent.yaml lists with reasons. It changes no
function under a decorator, except `staticmethod` and `classmethod`.

Results go to results/mutants.json, room by room; rooms that are not run keep what they had.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from _common import REPO_ROOT, RESULTS_DIR, environment, markdown_table, write_result

ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "scoring": (["scoring.py"], ["test_scoring.py"]),
    "metrics": (["metrics/accuracy.py"], ["metrics/test_accuracy.py"]),
    "calibration": (["metrics/calibration.py"], ["metrics/test_calibration.py"]),
    "models": (
        ["models/heads/*.py", "models/[lmt]*.py", "models/inference.py"],
        ["models", "inference/test_trained_model.py"],
    ),
    "training": (["training/*.py"], ["training"]),
    "prediction": (
        [
            *("inference/predict.py", "inference/trained_model.py", "tables/predictions.py"),
            "tracking/served.py",
        ],
        [
            *("tables/test_predictions.py", "inference/test_trained_model.py"),
            *("training/test_loop.py", "training/test_tracked_training.py"),
            "tracking/test_served_model.py",
        ],
    ),
    "evaluation": (["metrics/summary.py"], ["metrics/test_summary.py"]),
    "report": (
        ["report/a*.py", "report/residuals.py", "report/slices.py", "report/uncertainty.py"],
        ["report"],
    ),
}
_EQUIVALENT_FILE = Path(__file__).with_name("mutants_equivalent.yaml")
_TEXT_STATEMENTS = ("raise ", "logger.")


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        name: mutmut's.
        function: module and function.
        change: the lines that it takes away and puts in their place, as `ast.unparse` writes them.
    """

    name: str
    function: str
    change: tuple[str, str]

    @property
    def is_text(self) -> bool:
        """Whether it changes nothing but a text that somebody reads."""
        before, after = self.change
        same = _without_marks(before) == _without_marks(after)
        return same or before.startswith(_TEXT_STATEMENTS)


def main() -> None:
    """Run the rooms that are asked for, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument("--sample", type=int, default=40, help="mutants of a room (40)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at once (2)")
    parser.add_argument("--results", type=Path, default=RESULTS_DIR)
    options = parser.parse_args()
    path = options.results / "mutants.json"
    rooms = json.loads(path.read_text())["rooms"] if path.exists() else {}
    for room in options.rooms:
        rooms[room] = run_room(room, sample=options.sample, seed=options.seed, jobs=options.jobs)
        rooms = {name: rooms[name] for name in ROOMS if name in rooms}
        write_result(
            "mutants",
            {"tool": f"mutmut {version('mutmut')}", "rooms": rooms},
            folder=options.results,
        )
        print(f"\n{room}: {rooms[room]['survived']} survived")
        for one in rooms[room]["survivors"]:
            print(f"  {one['function']}\n    - {one['before']}\n    + {one['after']}")
    columns = ("mutants", "tried", "killed", "survived", "score")
    rows = [[name, *(found[column] for column in columns)] for name, found in rooms.items()]
    print("\n" + markdown_table(["room", *columns], rows))


def run_room(room: str, *, sample: int, seed: int, jobs: int) -> dict[str, Any]:
    """Return what the tests of a room notice of a random sample of its mutants."""
    sources, tests = ROOMS[room]
    with tempfile.TemporaryDirectory(prefix="dae-aqa-mutants-") as folder:
        copy = Path(folder)
        _copy_tree(copy, sources=sources, tests=tests)
        # it makes the mutants, learns which tests reach them, and finds none of that name
        log = _mutmut(copy, "run", "none", "--max-children", str(jobs))
        names = [name for name, _ in _results(copy)]
        if not names or "failed to collect stats" in log:
            sys.exit(f"{room}: mutmut cannot begin; do these tests pass: {' '.join(tests)}?")
        mutants = [_describe(copy, name) for name in names]
        equivalent = {(entry["function"], entry["after"]) for entry in _equivalents()}
        eligible = [
            mutant
            for mutant in mutants
            if not mutant.is_text and (mutant.function, mutant.change[1]) not in equivalent
        ]
        chosen = random.Random(seed).sample(eligible, min(sample, len(eligible)))
        log = _mutmut(copy, "run", *(m.name for m in chosen), "--max-children", str(jobs))
        statuses = dict(_results(copy))
    counts: dict[str, int] = {}
    for mutant in chosen:
        status = statuses[mutant.name]
        counts[status] = counts.get(status, 0) + 1
    if counts.get("not checked"):
        sys.exit(f"{room}: mutmut stopped before it had tried all mutants:\n{log[-3000:]}")
    killed = sum(counts.get(status, 0) for status in ("killed", "timeout", "segfault"))
    return {
        "commit": environment()["commit"],
        "mutants": len(mutants),
        "texts": sum(mutant.is_text for mutant in mutants),
        "equivalent": len([m for m in mutants if (m.function, m.change[1]) in equivalent]),
        "seed": seed,
        "tried": len(chosen),
        "killed": killed,
        "survived": len(chosen) - killed,
        "score": round(killed / len(chosen), 3),
        "by_status": counts,
        "survivors": [
            {
                "function": mutant.function,
                "before": mutant.change[0],
                "after": mutant.change[1],
                "status": statuses[mutant.name],
            }
            for mutant in sorted(chosen, key=lambda m: m.name)
            if statuses[mutant.name] not in ("killed", "timeout", "segfault")
        ],
    }


def _copy_tree(copy: Path, *, sources: list[str], tests: list[str]) -> None:
    """Copy the tracked files, as they are now, and tell mutmut what to do with them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO_ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPO_ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO_ROOT / name, copy / name)
    if (REPO_ROOT.parent / "shared").is_dir():
        (copy / "shared").symlink_to(REPO_ROOT.parent / "shared")  # beside the mutants' root
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/dae_aqa/{source}" for source in sources],
        "also_copy": sorted(p.name for p in copy.iterdir() if p.name not in ("src", "shared")),
        "pytest_add_cli_args": ["-m", "not slow", "-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": [f"tests/{test}" for test in tests],
        "process_isolation": "forkserver",  # torch does not like to be forked after it has run
        "timeout_multiplier": "5.0",
        "timeout_constant": "5.0",
    }
    lines = ["[mutmut]"]
    for key, value in settings.items():
        lines.append(f"{key} =" if isinstance(value, list) else f"{key} = {value}")
        lines += [f"    {item}" for item in value] if isinstance(value, list) else []
    (copy / "setup.cfg").write_text("\n".join(lines) + "\n")


def _mutmut(copy: Path, *arguments: str) -> str:
    """Run mutmut in the copy and return what it printed."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=copy,
        env=kept | {"OMP_NUM_THREADS": "1", "CI": "true"},  # hypothesis: the same, and no hurry
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def _results(copy: Path) -> list[tuple[str, str]]:
    """Return the name and the status of every mutant."""
    lines = _mutmut(copy, "results", "--all", "true").splitlines()
    pairs = [line.strip().rpartition(": ") for line in lines if "__mutmut_" in line]
    return [(name, status) for name, _, status in pairs]


def _describe(copy: Path, name: str) -> Mutant:
    """Return a mutant with its change, read from the file into which mutmut wrote all of them."""
    module, _, mangled = name.rpartition(".")
    functions = _functions(copy / "mutants/src", module)
    original = functions[re.sub(r"__mutmut_\d+$", "__mutmut_orig", mangled)]
    lines = list(difflib.ndiff(original, functions[mangled]))
    before, after = (
        " / ".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    readable = re.sub(r"^x[ǁ_]", "", re.sub(r"__mutmut_\d+$", "", mangled)).replace("ǁ", ".")
    return Mutant(name, f"{module}.{readable}", (before, after))


@functools.cache
def _functions(source_root: Path, module: str) -> dict[str, list[str]]:
    """Return the lines of each function of a mutated module: its arguments, then its body."""
    path = source_root / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return {
        node.name: [
            ast.unparse(node.args),
            *(line for part in node.body for line in ast.unparse(part).splitlines()),
        ]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def _without_marks(text: str) -> str:
    """Return what a change of a text alone leaves as it is: mutmut adds XX, or changes the case."""
    return text.replace("XX", "").lower()


def _equivalents() -> list[dict[str, str]]:
    content: list[dict[str, str]] = yaml.safe_load(_EQUIVALENT_FILE.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    main()
