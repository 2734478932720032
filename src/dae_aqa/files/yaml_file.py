"""`params.yaml` as text: read exactly as DVC reads it, and refused where it would overwhelm.

DVC follows YAML 1.2 with ruamel.yaml: `010` is ten, `1:30` and `no` are texts, `1e-4` is a number.
The same reader is used here, so that what a stage computes with is what `dvc params diff` shows.
"""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from dae_aqa.errors import ParamsError

_MAX_BYTES = 100_000  # of the file; the shipped one has 8,000
_MAX_DEPTH = 20  # sections within sections; the shipped file has 3
_MAX_REASON = 400  # characters


def read_yaml(path: Path) -> object:
    """Return the content of `path` as nested mappings, lists and scalars.

    Raises:
        ParamsError: there is no such file, it is no YAML, or it holds what no parameters need:
            aliases (which a small file can blow up with), sections 20 deep, too many bytes.
    """
    try:
        return parse_yaml(_read_text(path), source=str(path))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path}: no such file. Run the command in the repository's root, where it lies."
        ) from error
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read as a file ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path}: not valid YAML: byte {error.start + 1} is no UTF-8. Save the file as UTF-8."
        ) from error


def parse_yaml(text: str, *, source: str) -> object:
    """Return `text` as nested mappings, lists and scalars; `source` names it in messages.

    Raises:
        ParamsError: as in `read_yaml`.
    """
    try:
        _refuse_what_explodes(text, source)
        return _reader().load(text)
    # ruamel.yaml lets some through: an integer of 5,000 digits, a month 13, `!!bool x`
    except (YAMLError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ParamsError(f"{source}: not valid YAML: {_reason(error)}") from error


def _reader() -> YAML:
    return YAML(typ="safe", pure=True)


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ParamsError(f"{path}: more than {_MAX_BYTES:,} bytes are no parameters.")
    return content.decode("utf-8-sig")


def _refuse_what_explodes(text: str, source: str) -> None:
    """Look at the file event by event, before anything is built from it."""
    depth = 0
    for event in _reader().parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ParamsError(
                f"{source}, line {line}: aliases and anchors (*name, &name) are not read; write "
                "the value itself. A text that begins with * or & needs quotes."
            )
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ParamsError(
                f"{source}, line {line}: sections or lists more than {depth - 1} deep."
            )


def _reason(error: Exception) -> str:
    """Return ruamel's message in one line, without its advice to Python programmers."""
    text = str(error)
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        text = f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(text.split())[:_MAX_REASON]
