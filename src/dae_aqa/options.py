"""The base of every section of `params.yaml`, and the check of values against it.

Each room declares its options once, in its own `options.py`: type, range and choices of every key,
and the rules that several keys must fulfil together. `dae_aqa.params` composes them. No field has
a default: a value that is not in the file is an error, so nothing can change a result unseen.
"""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from dae_aqa.errors import ParamsError
from dae_aqa.wording import did_you_mean, problem_list, shown

Rule = Callable[[Any], Iterator[str]]
Location = tuple[int | str, ...]
_UNKNOWN = ("extra_forbidden", "invalid_key")  # pydantic's faults of a key, not of a value


class Options(BaseModel):
    """A section of `params.yaml`: frozen, without defaults, strict in its types.

    Attributes:
        RULES: functions that take the section and yield a line for each fault; the line starts with
            the key within the section.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _follow_rules(self) -> Self:
        broken = [line for rule in self.RULES for line in rule(self)]
        if broken:
            raise PydanticCustomError("broken_rules", "{text}", {"text": " ".join(broken)})
        return self

    def replaced(self, **changes: object) -> Self:
        """Return the options with other values, checked."""
        return type(self)(**(dict(self) | changes))


OptionsT = TypeVar("OptionsT", bound=Options)


def one_of(choices: Collection[str]) -> AfterValidator:
    """Return the annotation of a text that must be one of `choices`, such as the keys of a table.

    Choices that are known beforehand are a `Literal` instead.
    """

    def check(value: str) -> str:
        if value not in choices:
            raise PydanticCustomError("choice", "unknown", {"choices": tuple(choices)})
        return value

    return AfterValidator(check)


def _check_text(text: str) -> str:
    if not text.strip() or min(text) < " ":
        raise PydanticCustomError("text", "blank or with control characters")
    return text


def _list_to_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Text = Annotated[str, AfterValidator(_check_text)]
_IS_PATH = object()  # marks a text that names a file or a folder of the user's
UserPath = Annotated[Text, _IS_PATH]
FROM_LIST = BeforeValidator(_list_to_tuple)  # annotation of a tuple: YAML and JSON know lists alone
PositiveInt = Annotated[int, Field(ge=1, le=1_000_000)]
CountInt = Annotated[int, Field(ge=0, le=1_000_000)]
Workers = Annotated[int, Field(ge=1, le=256)]
Pixels = Annotated[int, Field(ge=16, le=8192)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def parse_options(cls: type[OptionsT], content: object, *, source: str) -> OptionsT:
    """Return `content` (nested mappings, as read from YAML or JSON) as an instance of `cls`.

    Raises:
        ParamsError: a key is unknown or missing, a value has a wrong type or range, or values do
            not fit together. Every fault is named, not only the first.
    """
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)
    faults = [each for each in details if each["type"] != "broken_rules"]
    faulty = {_field_location(each["loc"]) for each in faults if each["type"] not in _UNKNOWN}
    problems = [_described(cls, each) for each in faults]
    problems += _broken_rules(_good_part(cls, content, faulty=faulty))
    raise ParamsError(f"{source}: {problem_list(problems)}")


def flatten(values: Mapping[str, Any] | Options, *, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted key, e.g. `{'train.loss.name': 'nll'}`."""
    leaves: dict[str, Any] = {}
    for key, value in dict(values).items():
        if isinstance(value, Mapping | Options):
            leaves |= flatten(value, prefix=f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return leaves


def path_keys(cls: type[Options], *, prefix: str = "") -> list[str]:
    """Return the dotted keys of all fields that name a file or a folder of the user's."""
    keys = [
        f"{prefix}{key}" for key, field in cls.model_fields.items() if _IS_PATH in _parts(field)
    ]
    for key, section in _sections(cls).items():
        keys += path_keys(section, prefix=f"{prefix}{key}.")
    return keys


def _sections(cls: type[Options]) -> dict[str, type[Options]]:
    """Return the fields that are sections themselves, also those that may be null."""
    return {
        key: kind
        for key, field in cls.model_fields.items()
        for kind in (field.annotation, *typing.get_args(field.annotation))
        if isinstance(kind, type) and issubclass(kind, Options)
    }


def _parts(field: FieldInfo) -> list[Any]:
    """Return what an annotation consists of at any depth: types, choices, limits, marks."""
    parts = [field.annotation, *field.metadata]
    for part in parts:  # grows meanwhile
        parts += typing.get_args(part)  # items of a list, what may be null too
        parts += getattr(part, "metadata", ())  # limits of a number
    return parts


def _good_part(
    cls: type[OptionsT], content: object, *, faulty: set[Location], location: Location = ()
) -> OptionsT:
    """Return an unchecked instance with those fields alone that are not faulty, at any depth."""
    good: dict[str, Any] = {}
    for key, value in content.items() if isinstance(content, Mapping) else ():
        here = (*location, key)
        if key in cls.model_fields and here not in faulty:
            section = _sections(cls).get(key)
            if section is not None and value is not None:
                value = _good_part(section, value, faulty=faulty, location=here)
            good[key] = value
    return cls.model_construct(set(good), **good)


def _broken_rules(section: Options, *, prefix: str = "") -> Iterator[str]:
    """Yield what an incomplete section breaks; a rule that needs a field it lacks is left out."""
    for rule in section.RULES:
        with contextlib.suppress(AttributeError):  # the field is faulty, and named already
            yield from (f"{prefix}{line}" for line in rule(section))
    for key, value in section:
        if isinstance(value, Options):
            yield from _broken_rules(value, prefix=f"{prefix}{key}.")


def _field_location(location: Location) -> Location:
    """Return where the field lies that a fault belongs to: a faulty item makes its list faulty."""
    first = next((place for place, part in enumerate(location) if isinstance(part, int)), None)
    return location[:first]


def _key(location: Location) -> str:
    """Return a location as people write it: `train.clips.starts[1]`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _section_at(cls: type[Options], location: Location) -> type[Options]:
    for part in location:
        cls = _sections(cls)[str(part)]
    return cls


def _parts_at(cls: type[Options], location: Location) -> list[Any]:
    """Return the `_parts` of the field in which a fault lies."""
    *sections, key = _field_location(location)
    return _parts(_section_at(cls, tuple(sections)).model_fields[str(key)])


def _described(cls: type[Options], error: ErrorDetails) -> str:
    """Return one line on a fault that pydantic found: key, what is expected, what was got."""
    location, value, kind = error["loc"], error["input"], error["type"]
    key, got = _key(location), shown(value)
    if kind in _UNKNOWN:
        return _unknown_key(location, known=_section_at(cls, location[:-1]).model_fields)
    match kind:
        case "missing":
            return f"{key}: missing; every key must be in the file."
        case "literal_error" | "choice":
            choices = error["ctx"].get("choices") or _literals(_parts_at(cls, location))
            hint = did_you_mean(value, choices)
            return f"{key}: {got} is not allowed{hint}; expected one of: {', '.join(choices)}."
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            limits = _limits(_parts_at(cls, location))
            return f"{key}: {got} is out of range; expected a number {limits}."
        case "string_too_long" | "too_long":
            unit = "characters" if isinstance(value, str) else "items"
            return f"{key}: {len(value)} {unit}; expected at most {error['ctx']['max_length']}."
    if kind == "float_type" and type(value) is int:  # one that no float can hold
        kind = "finite_number"
    expected = f"expected {_EXPECTED[kind]}" if kind in _EXPECTED else error["msg"]
    return f"{key or 'the file'}: {expected}, got {got} ({type(value).__name__})."


_EXPECTED = {
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a section with keys",
    "string_type": "a text",
    "text": "a text that is not blank and has no control characters",
    "tuple_type": "a list",
}


def _unknown_key(location: Location, *, known: Collection[str]) -> str:
    name = str(location[-1])
    label = name if len(name) < 100 else shown(name)
    hint = did_you_mean(name, known)
    return f"{_key((*location[:-1], label))}: unknown key{hint}; known: {', '.join(known)}."


def _literals(parts: Collection[Any]) -> tuple[str, ...]:
    return typing.get_args(next(part for part in parts if typing.get_origin(part) is Literal))


def _limits(parts: Collection[Any]) -> str:
    """Return the limits of a number in words, e.g. '>= 1 and <= 256'."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    return " and ".join(
        f"{sign} {getattr(part, name)}"
        for name, sign in signs.items()
        for part in parts
        if hasattr(part, name)
    )
