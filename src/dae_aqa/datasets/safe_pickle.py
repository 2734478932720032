"""Pickles from outside, read without running what they say.

A pickle is a program: it may import anything and call it. The annotation releases in this format
hold numbers and text in tuples, lists and dictionaries, which need no import at all. Some hold
NumPy arrays or scalars too. The few names that those ask for are met by builders of this module,
which accept numbers alone and return plain Python values; every other import is refused.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dae_aqa.errors import AnnotationError

_NUMERIC = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
_BYTE_ORDERS = {"<", ">", "|", "="}


class _Builder:
    """A function that a pickle may call and cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it changes a function")


class _Dtype:
    """The type of an array's numbers."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *flags: object) -> None:
        if not isinstance(code, str) or code not in _NUMERIC:
            raise pickle.UnpicklingError(f"it holds an array of {str(code)[:20]!r}, not of numbers")
        self.code, self.order = code, "|"

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if not isinstance(order, str) or order not in _BYTE_ORDERS:
            raise pickle.UnpicklingError("it holds an array with an unknown order of bytes")
        self.order = order


class _Array(list[object]):
    """An array on its way: empty at first, then a list of its numbers or of its rows."""

    __slots__ = ("_decode",)

    def __init__(self, decode: Callable[[object, object], np.ndarray]) -> None:
        super().__init__()
        self._decode = decode

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("it holds an array in an unknown form")
        _, shape, dtype, is_fortran, content = state
        sizes = shape if isinstance(shape, tuple) else ()
        if not sizes or not all(type(size) is int and size >= 0 for size in sizes):
            raise pickle.UnpicklingError("it holds an array without a shape")
        numbers = self._decode(dtype, content)
        # an empty array of many empty rows would be as large as it likes
        if math.prod(sizes) != len(numbers) or (len(numbers) == 0 and len(sizes) > 1):
            raise pickle.UnpicklingError(
                f"it holds an array of shape {str(sizes)[:60]} with {len(numbers)} numbers"
            )
        self[:] = numbers.reshape(sizes, order="F" if is_fortran else "C").tolist()


class _PlainUnpickler(pickle.Unpickler):
    """Builds tuples, lists, dictionaries, numbers and text; refuses every class and function."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")  # as Python 2 wrote bytes
        self._num_bytes_left = len(content)
        ndarray = _Builder(_refuse_call)

        def reconstruct(kind: object, *_: object) -> _Array:
            if kind is not ndarray:
                raise pickle.UnpicklingError("it holds an array of an unknown class")
            return _Array(self._decode)

        def scalar(dtype: object, content: object) -> object:
            numbers = self._decode(dtype, content)
            if len(numbers) != 1:
                raise pickle.UnpicklingError(f"it holds {len(numbers)} numbers where one belongs")
            return numbers.tolist()[0]

        self._known: dict[tuple[str, str], _Builder] = {
            ("numpy", "ndarray"): ndarray,
            ("numpy", "dtype"): _Builder(_Dtype),
            ("_codecs", "encode"): _Builder(_encode),
        }
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            self._known[module, "_reconstruct"] = _Builder(reconstruct)
            self._known[module, "scalar"] = _Builder(scalar)

    def find_class(self, module_name: str, global_name: str, /) -> object:
        known = self._known.get((module_name, global_name))
        if known is None:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return known

    def _decode(self, dtype: object, content: object) -> np.ndarray:
        """Return the numbers in `content`, one-dimensional."""
        if isinstance(content, str):
            content = content.encode("latin1")
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it holds an array that is not one of numbers")
        self._num_bytes_left -= len(content)
        if self._num_bytes_left < 0:  # the same bytes used again and again
            raise pickle.UnpicklingError("it holds arrays of more bytes than the file has")
        return np.frombuffer(content, dtype=dtype.order + dtype.code)


def load_plain_pickle(path: Path) -> object:
    """Return the plain Python values in the pickle file at `path`.

    NumPy arrays of numbers come back as lists (of lists), NumPy scalars as int, float or bool.

    Raises:
        AnnotationError: the file is missing, truncated, no pickle, or asks for another class or
            function.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        _check_memo(content)
        return _PlainUnpickler(content).load()
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


def _refuse_call(*_: object) -> object:
    raise pickle.UnpicklingError("it calls numpy.ndarray")


def _encode(text: object, encoding: object) -> bytes:
    """Return the bytes that Python 3 writes as text in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("it asks for _codecs.encode of something else")
    return text.encode("latin1")


def _check_memo(content: bytes) -> None:
    """Refuse memo slots beyond the file's length: Python would clear memory for all below them."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise pickle.UnpicklingError(f"it asks for {argument} memo slots")
