"""The leaves of a section's class, by dotted key."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from dae_aqa.options import Options


def sections(cls: type[Options], prefix: str = "") -> Iterator[tuple[str, type[Options]]]:
    """Yield the class and those of all sections in it, with the prefix of their keys."""
    yield prefix, cls
    for name, field in cls.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Options):
            yield from sections(field.annotation, f"{prefix}{name}.")


def leaves(cls: type[Options]) -> dict[str, FieldInfo]:
    """Return all fields that are no sections themselves."""
    every = dict(sections(cls))
    return {
        f"{prefix}{name}": field
        for prefix, section in every.items()
        for name, field in section.model_fields.items()
        if f"{prefix}{name}." not in every
    }
