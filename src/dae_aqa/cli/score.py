"""`dae-aqa score`, `inspect`, `export`, `register`: a trained model at the shell."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.errors import ScoreInputError
from dae_aqa.wording import problem_list

if TYPE_CHECKING:
    from dae_aqa.scorer import Outcome, Scorer

DEFAULT_MODEL = "models/model.pt"
SOME_FAILED = 3  # exit code where some clips could not be scored and others could


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `score`, `inspect`, `export` and `register` to the commands."""
    score = commands.add_parser(
        "score",
        help="score clips with a trained model",
        description="Score performances in videos. Exit code 0: all were scored; 3: some could not "
        "be, and are listed at the end; 1: nothing was scored; 2: wrong options.",
    )
    score.add_argument(
        "places",
        nargs="+",
        type=Path,
        metavar="VIDEO|FOLDER|TABLE.csv",
        help="videos, folders of videos, or tables with the column video and, where wanted, name, "
        "start_seconds, end_seconds, start_frame, end_frame, last_frames, difficulty, action_class",
    )
    _add_model(score)
    clip = score.add_argument_group("the performance, where a table does not say it")
    clip.add_argument("--start", type=float, metavar="SECONDS", help="where it begins")
    clip.add_argument("--end", type=float, metavar="SECONDS", help="where it ends")
    clip.add_argument("--last", type=int, metavar="N", help="the last N frames of it alone")
    clip.add_argument("--difficulty", type=float, metavar="DD", help="degree of difficulty")
    clip.add_argument("--action-class", metavar="NAME", help="for models that compare by class")
    output = score.add_argument_group("output")
    kind = output.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="one JSON object a line")
    kind.add_argument("--csv", action="store_true", help="a table")
    output.add_argument(
        "--strip", type=Path, metavar="FILE.png", help="picture of the frames looked at (one clip)"
    )
    output.add_argument(
        "--annotate", type=Path, metavar="FILE.mp4", help="those frames as a video (one clip)"
    )
    score.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    score.add_argument(
        "--workers", type=int, default=0, metavar="N", help="clips decoded at once (all cores)"
    )
    score.set_defaults(run=_score)

    inspect = commands.add_parser("inspect", help="say what a model file is and how it sees videos")
    inspect.add_argument("model", nargs="*", default=[DEFAULT_MODEL], metavar="MODEL")
    inspect.add_argument("--json", action="store_true", help="as one JSON object")
    inspect.set_defaults(run=_inspect)

    export = commands.add_parser(
        "export", help="write the network of a model file for other runtimes"
    )
    export.add_argument("model", metavar="MODEL", help="a model file")
    export.add_argument("out", type=Path, metavar="FILE", help="the .pt2 or .onnx file")
    export.add_argument("--format", choices=("torch", "onnx"), default="onnx")
    export.set_defaults(run=_export)

    register = commands.add_parser(
        "register", help="give the model of an MLflow run a name and a version"
    )
    register.add_argument("name", metavar="NAME", help="of the registered model")
    register.add_argument("--run", required=True, metavar="ID", help="the run that trained it")
    register.set_defaults(run=_register)


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        nargs="+",
        default=[DEFAULT_MODEL],
        metavar="MODEL",
        help=f"model file, runs:/ID or models:/NAME/VERSION; several are an ensemble "
        f"({DEFAULT_MODEL})",
    )


def _score(chosen: argparse.Namespace) -> int:
    from dae_aqa.scorer import Clip, Scorer, Stretch
    from dae_aqa.scorer.clips import find_clips

    stretch = Stretch(start_seconds=chosen.start, end_seconds=chosen.end, last_frames=chosen.last)
    like = Clip(
        video=Path(),
        stretch=stretch,
        difficulty=chosen.difficulty,
        action_class=chosen.action_class,
    )
    clips = find_clips(chosen.places, like=like)
    if (chosen.strip or chosen.annotate) and len(clips) > 1:
        raise ScoreInputError(
            f"--strip and --annotate show one clip, got {len(clips)}; score that one alone."
        )
    scorer = Scorer.load(*chosen.model, device=chosen.device)
    outcomes = _with_progress(scorer.score_many(clips, num_workers=chosen.workers), len(clips))
    write = _write_csv if chosen.csv else _write_json if chosen.json else _write_text
    failed, num = [], 0
    for outcome in write(outcomes):
        num += 1
        if outcome.error is not None:
            failed.append(f"{outcome.clip.shown_name}: {outcome.error}")
        elif chosen.strip or chosen.annotate:
            _write_pictures(scorer, outcome, strip=chosen.strip, annotated=chosen.annotate)
    if not failed:
        return 0
    print(f"{len(failed)} of {num} clips not scored; {problem_list(failed)}", file=sys.stderr)
    return 1 if len(failed) == num else SOME_FAILED


def _with_progress(outcomes: Iterator[Outcome], num_clips: int) -> Iterator[Outcome]:
    """Yield the outcomes; progress goes to stderr, for several clips."""
    from dae_aqa.running.progress import Progress

    with Progress("score", total=num_clips, unit="clip", show=num_clips > 1) as bar:
        for outcome in outcomes:
            yield outcome
            bar.advance()


def _write_text(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Print each answer to read; yield the outcomes."""
    from dae_aqa.scorer.texts import score_lines

    for outcome in outcomes:
        if outcome.score is not None:
            print("\n".join(score_lines(outcome.score)), flush=True)
        yield outcome


def _write_json(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Print each answer, or `name` and `error`, as a line of JSON; yield the outcomes."""
    for outcome in outcomes:
        answer = (
            {"name": outcome.clip.shown_name, "error": str(outcome.error)}
            if outcome.score is None
            else outcome.score.to_dict()
        )
        print(json.dumps(answer), flush=True)
        yield outcome


def _write_csv(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Print a table with a row for each clip; yield the outcomes."""
    from dae_aqa.scorer.texts import COLUMNS, score_row

    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for outcome in outcomes:
        row = (
            {"name": outcome.clip.shown_name, "error": str(outcome.error)}
            if outcome.score is None
            else score_row(outcome.score)
        )
        writer.writerow(row)
        sys.stdout.flush()
        yield outcome


def _write_pictures(
    scorer: Scorer, outcome: Outcome, *, strip: Path | None, annotated: Path | None
) -> None:
    """Write what was asked for; the frames are read again, which the scores of many do without."""
    from dae_aqa.scorer.pictures import write_annotated, write_strip

    assert outcome.score is not None
    window = scorer.read(outcome.clip)
    if strip is not None:
        write_strip(window, outcome.score, strip)
    if annotated is not None:
        write_annotated(window, outcome.score, annotated)


def _inspect(chosen: argparse.Namespace) -> None:
    from dae_aqa.scorer import Scorer
    from dae_aqa.scorer.description import description_lines

    description = Scorer.load(*chosen.model, device="cpu").describe()
    text = json.dumps(description) if chosen.json else "\n".join(description_lines(description))
    print(text)


def _export(chosen: argparse.Namespace) -> None:
    from dae_aqa.inference.trained_model import TrainedModel
    from dae_aqa.scorer.export import export
    from dae_aqa.scorer.sources import local_file

    trained = TrainedModel.load(local_file(chosen.model))
    difference = export(trained, chosen.out, to=chosen.format)
    print(f"{chosen.out}: as the model itself, up to {difference:.1g} of its largest output")


def _register(chosen: argparse.Namespace) -> None:
    from dae_aqa.tracking.registry import register

    version = register(chosen.run, name=chosen.name)
    print(f"registered: models:/{chosen.name}/{version}")
