"""Pickles from outside, read without running what they say.

A pickle is a program: it may import anything and call it. The annotation releases in this format
hold numbers and text in tuples, lists and dictionaries, which need no import at all, so that
every import is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path

from dae_aqa.errors import AnnotationError


class _PlainUnpickler(pickle.Unpickler):
    """Builds tuples, lists, dictionaries, numbers and text; refuses every class and function."""

    def find_class(self, module_name: str, global_name: str, /) -> object:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")


def load_plain_pickle(path: Path) -> object:
    """Return the plain Python values in the pickle file at `path`.

    Raises:
        AnnotationError: the file is missing, truncated, no pickle, or asks for a class or function.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        _check_memo(content)
        return _PlainUnpickler(io.BytesIO(content)).load()
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        raise AnnotationError(
            f"{path}: not a pickle of plain numbers, texts, tuples, lists and dictionaries "
            f"({type(error).__name__}: {error}). Nothing in it was run. The file is damaged or not "
            "the official one: fetch it again from where it is published."
        ) from error


def _check_memo(content: bytes) -> None:
    """Refuse memo slots beyond the file's length: Python would clear memory for all below them."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise pickle.UnpicklingError(f"it asks for {argument} memo slots")
