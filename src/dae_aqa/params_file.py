"""`params.yaml` as text: read exactly as DVC reads it, and refused where it would overwhelm.

DVC follows YAML 1.2 with ruamel.yaml: `010` is ten, `1:30` and `no` are texts, `1e-4` is a number.
The same reader is used here, so that what a stage computes with is what `dvc params diff` shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from dae_aqa.errors import ParamsError

_MAX_BYTES = 100_000  # of the file; the shipped one has 8,000
_MAX_DEPTH = 20  # sections within sections; the shipped file has 3
_MAX_SHOWN = 200  # characters of a value in a message


def read_params_file(path: Path) -> object:
    """Return the content of `path` as nested mappings, lists and scalars.

    Raises:
        ParamsError: there is no such file, it is no YAML, or it holds what no parameters need:
            aliases (which a small file can blow up with), sections 20 deep, too many bytes.
    """
    try:
        text = _read_text(path)
        _refuse_what_explodes(text, path)
        return _reader().load(text)
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
    # ruamel.yaml lets some through: an integer of 5,000 digits, a month 13, `!!bool x`
    except (YAMLError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ParamsError(f"{path}: not valid YAML: {_reason(error)}") from error


def shown(value: object) -> str:
    """Return `value` for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return a hint at the one of `known` that `word` resembles, '' where none does."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word)[:100].lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def _reader() -> YAML:
    return YAML(typ="safe", pure=True)


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ParamsError(f"{path}: more than {_MAX_BYTES:,} bytes are no parameters.")
    return content.decode("utf-8-sig")


def _refuse_what_explodes(text: str, path: Path) -> None:
    """Look at the file event by event, before anything is built from it."""
    depth = 0
    for event in _reader().parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ParamsError(
                f"{path}, line {line}: aliases and anchors (*name, &name) are not read; write the "
                "value itself. A text that begins with * or & needs quotes."
            )
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ParamsError(f"{path}, line {line}: sections or lists more than {depth - 1} deep.")


def _reason(error: Exception) -> str:
    """Return ruamel's message in one line, without its advice to Python programmers."""
    text = str(error)
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        text = f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(text.split())[: 2 * _MAX_SHOWN]
