"""The command `dae-aqa`: what lies beside the pipeline's stages."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from dae_aqa.cli import score, serve
from dae_aqa.cli.recipes import apply_recipe, recipe_names
from dae_aqa.clips.options import NORMALIZATION_NAMES
from dae_aqa.errors import DaeAqaError, ParamsError, TrackingError
from dae_aqa.params import PARAMS_FILE
from dae_aqa.params.check import check_project, warn_of_changed_sources
from dae_aqa.running.places import project_root

PIPELINE_FILE = "dvc.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code; errors are messages on stderr and code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = _parser().parse_args(arguments)
    try:
        code: int | None = chosen.run(chosen)
    except DaeAqaError as error:
        print(f"dae-aqa: {error}", file=sys.stderr)
        return 1
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dae-aqa", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    recipe = commands.add_parser("recipe", help="write a named set of parameters into params.yaml")
    recipe.add_argument("name", choices=recipe_names())
    recipe.set_defaults(run=_recipe)

    params = commands.add_parser("params", help="check params.yaml, as the first stage does")
    params.set_defaults(run=_params)

    ui = commands.add_parser("ui", help="open the MLflow UI on this repository's store")
    ui.add_argument("--port", type=_number(1, 65535), default=5000)
    ui.set_defaults(run=_ui)

    refresh = commands.add_parser(
        "refresh",
        help="bring all results up to date with your own CSV and videos",
        description="Compare your own files with what `download` read, by their hashes. If one has "
        "changed, run `dvc repro --force download` and then `dvc repro`.",
    )
    refresh.add_argument("--force", action="store_true", help="whether or not one has changed")
    refresh.set_defaults(run=_refresh)

    table = commands.add_parser(
        "table",
        help="train the methods of table.yaml over several seeds and compare them in one table",
        description="Run every row of table.yaml with every seed as a DVC experiment, and write "
        "reports/table.md, .csv and .html. Call it again after an interruption: it goes on.",
    )
    table.add_argument(
        "--jobs", type=_number(1, 256), default=1, metavar="N", help="cells run at once (1)"
    )
    table.set_defaults(run=_table)

    doctor = commands.add_parser(
        "doctor",
        help="look at the machine and the repository, and say what to do next",
        description="One line for each question; exit code 1 if one is a problem.",
    )
    doctor.set_defaults(run=_doctor)

    score.add_commands(commands)
    serve.add_command(commands)
    _add_compare(commands)
    _add_features(commands)
    return parser


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = commands.add_parser(
        "compare",
        help="compare two evaluations on the same test samples",
        description="Say by which figures B is better than A beyond chance (paired bootstrap), and "
        "which samples changed most: on the terminal, and as one HTML page. A and B are folders "
        "with predictions.csv and metrics.json, git revisions, DVC experiments or ids of MLflow "
        "runs.",
    )
    compare.add_argument("first", metavar="A", help="the one to compare with, e.g. HEAD")
    compare.add_argument("second", metavar="B", help="the other, e.g. reports")
    compare.add_argument(
        "--out", type=Path, default=Path("reports/compare.html"), metavar="FILE", help="the page"
    )
    compare.add_argument(
        "--across-protocols",
        action="store_true",
        help="compare even where the two chose their epochs by different protocols",
    )
    compare.add_argument(
        "--resamples", type=_number(100), default=2000, metavar="N", help="of each interval (2000)"
    )
    compare.add_argument("--seed", type=_number(0), default=0, help="of the resampling (0)")
    compare.add_argument(
        "--samples", type=_number(0), default=10, metavar="N", help="samples to name (10)"
    )
    compare.set_defaults(run=_compare)


def _add_features(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    features = commands.add_parser(
        "features",
        help="write the clip features of a video",
        description="Write the clip features (K, D), float32, of a video to a .npy file. Clips are "
        "made as published for I3D weights and released checkpoints, and as it was trained for a "
        "model file of this project, where the options below do not say otherwise.",
    )
    features.add_argument(
        "video",
        type=Path,
        help="a video file; or a .npy file: uint8 RGB frames (F, H, W, 3), or float32 input "
        "(3, F, H, W) that is normalised already and used as it is",
    )
    features.add_argument(
        "--weights",
        type=Path,
        required=True,
        metavar="FILE",
        help="I3D weights in either published layout, a released DAE checkpoint, or a model file",
    )
    features.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .npy file")
    clips = features.add_argument_group("clips")
    clips.add_argument(
        "--starts", type=_number(0), nargs="+", metavar="FRAME", help="first frame of each clip"
    )
    clips.add_argument("--last", type=_number(1), metavar="N", help="use the last N frames alone")
    clips.add_argument("--num-frames", type=_number(1), metavar="T", help="frames of a clip")
    clips.add_argument("--stride", type=_number(1), metavar="N", help="frames from one to the next")
    pixels = features.add_argument_group("pixels")
    pixels.add_argument("--width", type=_number(1), default=455, help="of scaled frames (455)")
    pixels.add_argument("--height", type=_number(1), default=256, help="of scaled frames (256)")
    pixels.add_argument(
        "--crop-px", type=_number(1), metavar="PX", help="side of the centre square"
    )
    pixels.add_argument(
        "--size-px", type=_number(1), metavar="PX", help="side to which it is scaled (as it is)"
    )
    pixels.add_argument("--normalization", choices=NORMALIZATION_NAMES)
    features.add_argument(
        "--batch", type=_number(1), default=2, metavar="N", help="clips computed at once (2)"
    )
    features.set_defaults(run=_features)


def _number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what argparse reads a whole number with."""

    def number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            limit = "" if most is None else f" and at most {most}"
            raise argparse.ArgumentTypeError(f"{text} is not at least {least}{limit}")
        return value

    return number


def _require_pipeline(root: Path) -> None:
    """Check that a command is run in the repository, or it would make an empty store anywhere."""
    if not (root / PIPELINE_FILE).is_file():
        raise ParamsError(f"{root}: no {PIPELINE_FILE} here. Run the command in the repository.")


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # a port that is just being given back is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TrackingError(
                f"port {port} cannot be used ({error.strerror}). If another MLflow UI runs there, "
                f"open http://127.0.0.1:{port}; or choose another port: `dae-aqa ui --port "
                f"{port % 65535 + 1}`, `make ui PORT={port % 65535 + 1}`."
            ) from error


def _recipe(chosen: argparse.Namespace) -> None:
    changes = apply_recipe(chosen.name, path=PARAMS_FILE)
    for line in changes or ["params.yaml has these values already"]:
        print(line)


def _params(_: argparse.Namespace) -> None:
    check_project(root=project_root())
    warn_of_changed_sources(root=project_root())
    print(f"{PARAMS_FILE} is valid")


def _refresh(chosen: argparse.Namespace) -> int:
    from dae_aqa.cli.refresh import refresh

    return refresh(root=project_root(), force=chosen.force)


def _table(chosen: argparse.Namespace) -> int:
    from dae_aqa.cli.table import make_table

    _require_pipeline(project_root())
    return make_table(root=project_root(), jobs=chosen.jobs)


def _compare(chosen: argparse.Namespace) -> None:
    from dae_aqa.cli.compare import compare

    lines = compare(
        chosen.first,
        chosen.second,
        root=project_root(),
        output=chosen.out,
        across_protocols=chosen.across_protocols,
        num_resamples=chosen.resamples,
        seed=chosen.seed,
        num_samples=chosen.samples,
    )
    for line in lines:
        print(line)


def _doctor(_: argparse.Namespace) -> int:
    from dae_aqa.cli.doctor import diagnose

    levels = set()
    for name, finding in diagnose(root=project_root()):
        print(f"{finding.level:<8} {name}: {finding.text}", flush=True)
        levels.add(finding.level)
    return 1 if "problem" in levels else 0


def _ui(chosen: argparse.Namespace) -> None:
    from dae_aqa.tracking.alive import mark_killed_runs
    from dae_aqa.tracking.store import chart_addresses, open_store

    _require_pipeline(project_root())
    _require_free(chosen.port)
    store = open_store(root=project_root())
    mark_killed_runs(store)
    for name, address in chart_addresses(store, server=f"http://127.0.0.1:{chosen.port}").items():
        print(f"Runs of {name}: {address}", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.uri]
    command += ["--host", "127.0.0.1", "--workers", "1", "--port", str(chosen.port)]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # its workers outlive the server
    os.execv(sys.executable, command)  # noqa: S606 - no shell


def _features(chosen: argparse.Namespace) -> None:
    from dae_aqa.cli.video_features import FeatureExtractor, check_output, write_features

    check_output(chosen.out, inputs=[chosen.video, chosen.weights])
    extractor = FeatureExtractor.load(chosen.weights).with_clips(
        starts=None if chosen.starts is None else tuple(chosen.starts),
        num_frames=chosen.num_frames,
        stride=chosen.stride,
        crop_px=chosen.crop_px,
        size_px=chosen.size_px,
        normalization=chosen.normalization,
    )
    features = extractor.features(
        chosen.video,
        frame_size_px=(chosen.width, chosen.height),
        num_last_frames=chosen.last,
        clips_per_batch=chosen.batch,
    )
    write_features(features, chosen.out)
    print(
        f"{chosen.out}: {features.dtype} {features.shape} of {extractor.name}, "
        f"{features.min():.6g} to {features.max():.6g}, mean {features.mean():.6g}"
    )


if __name__ == "__main__":
    sys.exit(main())
