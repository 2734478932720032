"""The command `dae-aqa`: what lies beside the pipeline's stages."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from dae_aqa.errors import DaeAqaError
from dae_aqa.params import PARAMS_FILE, load_params
from dae_aqa.recipes import apply_recipe, recipe_names
from dae_aqa.runtime import project_root


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code; errors are messages on stderr and code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except DaeAqaError as error:
        print(f"dae-aqa: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dae-aqa", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    recipe = commands.add_parser("recipe", help="write a named set of parameters into params.yaml")
    recipe.add_argument("name", choices=recipe_names())
    recipe.set_defaults(run=_recipe)

    params = commands.add_parser("params", help="check params.yaml")
    params.set_defaults(run=_params)

    ui = commands.add_parser("ui", help="open the MLflow UI on this repository's store")
    ui.add_argument("--port", type=int, default=5000)
    ui.set_defaults(run=_ui)
    return parser


def _recipe(chosen: argparse.Namespace) -> None:
    changes = apply_recipe(chosen.name, path=PARAMS_FILE)
    for line in changes or ["params.yaml has these values already"]:
        print(line)


def _params(_: argparse.Namespace) -> None:
    load_params(PARAMS_FILE)
    print(f"{PARAMS_FILE} is valid")


def _ui(chosen: argparse.Namespace) -> None:
    from dae_aqa.tracking.store import open_store

    store = open_store(root=project_root())
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.uri]
    command += ["--host", "127.0.0.1", "--workers", "1", "--port", str(chosen.port)]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # its workers outlive the server
    os.execv(sys.executable, command)  # noqa: S606 - no shell


if __name__ == "__main__":
    sys.exit(main())
