"""The base of every section of `params.yaml`, and the check of values against it.

Each room declares its options once, in its own `options.py`: type, range and choices of every key,
and the rules that several keys must fulfil together. `dae_aqa.params` composes them. No field has
a default: a value that is not in the file is an error, so nothing can change a result unseen.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from dae_aqa.errors import ParamsError
from dae_aqa.wording import did_you_mean, problem_list, shown

Rule = Callable[[Any], Iterator[str]]
Location = tuple[int | str, ...]


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
        broken = list(_broken_rules(type(self), self))
        if broken:
            raise PydanticCustomError("broken_rules", "{text}", {"text": " ".join(broken)})
        return self

    def replaced(self, **changes: object) -> Self:
        """Return the options with other values, checked."""
        return type(self)(**(dict(self) | changes))


OptionsT = TypeVar("OptionsT", bound=Options)


def _check_text(text: str) -> str:
    if not text.strip() or min(text) < " ":
        raise PydanticCustomError("text", "blank or with control characters")
    return text


def one_of(choices: Collection[str]) -> AfterValidator:
    """Return the annotation of a text that must be one of `choices`, such as the keys of a table.

    Choices that are known beforehand are a `Literal` instead.
    """

    def check(value: str) -> str:
        if value not in choices:
            raise PydanticCustomError("choice", "unknown", {"choices": tuple(choices)})
        return value

    return AfterValidator(check)


Text = Annotated[str, AfterValidator(_check_text)]
_IS_PATH = object()  # marks a text that names a file or a folder of the user's
UserPath = Annotated[Text, _IS_PATH]
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
        details = [each for each in error.errors() if each["type"] != "broken_rules"]
        problems = [_described(cls, each) for each in details]
        faulty = {_field_location(each["loc"]) for each in details}
        problems += _rules_of_the_rest(cls, content, faulty=faulty, location=())
        raise ParamsError(f"{source}: {problem_list(problems)}") from error


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
        f"{prefix}{name}"
        for name, field in cls.model_fields.items()
        if _IS_PATH in _annotations(field)
    ]
    for name, section in _sections(cls).items():
        keys += path_keys(section, prefix=f"{prefix}{name}.")
    return keys


def _annotations(field: FieldInfo) -> list[Any]:
    """Return what a field is annotated with: itself, its items, or what may be null too."""
    found, queue = list(field.metadata), [field.annotation]
    while queue:
        annotation = queue.pop()
        found += getattr(annotation, "__metadata__", ())
        queue += typing.get_args(annotation)
    return [each for info in found for each in getattr(info, "metadata", [info])]


def _broken_rules(cls: type[Options], section: Any) -> Iterator[str]:
    """Yield what `section` breaks; a rule that needs a key which is not there is left out."""
    for rule in cls.RULES:
        try:
            yield from rule(section)
        except AttributeError:  # a field that is faulty has been named already
            continue


def _rules_of_the_rest(
    cls: type[Options], content: object, *, faulty: set[Location], location: Location
) -> list[str]:
    """Return the rules that values break whose own fields are good, in sections of any depth."""
    if not isinstance(content, Mapping):
        return []
    prefix = _key((*location, ""))
    problems = [
        f"{prefix}{line}"
        for line in _broken_rules(cls, _good_part(cls, content, faulty=faulty, location=location))
    ]
    for name, section in _sections(cls).items():
        below = (*location, name)
        problems += _rules_of_the_rest(section, content.get(name), faulty=faulty, location=below)
    return problems


def _good_part(
    cls: type[Options], content: Mapping[Any, Any], *, faulty: set[Location], location: Location
) -> types.SimpleNamespace:
    """Return the fields of a section, and of those in it, that are not faulty."""
    sections, good = _sections(cls), {}
    for name in cls.model_fields:
        here, value = (*location, name), content.get(name)
        if name not in content or here in faulty:
            continue
        if name in sections and isinstance(value, Mapping):
            value = _good_part(sections[name], value, faulty=faulty, location=here)
        good[name] = value
    return types.SimpleNamespace(**good)


def _sections(cls: type[Options]) -> dict[str, type[Options]]:
    """Return the fields that are sections themselves."""
    return {
        name: field.annotation
        for name, field in cls.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Options)
    }


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


def _described(cls: type[Options], error: ErrorDetails) -> str:
    """Return one line on a fault that pydantic found: key, what is expected, what was got."""
    location, value, kind = error["loc"], error["input"], error["type"]
    key, got = _key(location), f"{shown(value)} ({type(value).__name__})"
    owner = _owner(cls, location)
    match kind:
        case "missing":
            return f"{key}: missing; every key must be in the file."
        case "extra_forbidden" | "invalid_key":
            return _unknown_key(location, known=owner.model_fields)
        case "model_type" | "model_attributes_type":
            return f"{key or 'the file'}: expected a section with keys, got {shown(value)}."
        case "literal_error" | "choice":
            choices = _choices(owner, location, error)
            return (
                f"{key}: {shown(value)} is not allowed{did_you_mean(value, choices)}; expected one "
                f"of: {', '.join(choices)}."
            )
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            expected = _bounds(owner.model_fields[str(_field_location(location)[-1])])
            return f"{key}: {shown(value)} is out of range; expected a number {expected}."
        case "string_too_long":
            longest = error["ctx"]["max_length"]
            return f"{key}: {len(value)} characters; expected at most {longest}."
        case "text":
            return (
                f"{key}: expected a text that is not blank and has no control characters, got "
                f"{got}."
            )
        case "tuple_type":
            return f"{key}: expected a list, got {shown(value)}."
        case "finite_number":
            return f"{key}: expected a finite number, got {shown(value)}."
    return f"{key}: expected {_EXPECTED.get(kind, error['msg'])}, got {got}."


_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
}


def _owner(cls: type[Options], location: Location) -> type[Options]:
    """Return the section in which the last key of `location` stands."""
    for part in _field_location(location)[:-1]:
        cls = _sections(cls)[str(part)]
    return cls


def _unknown_key(location: Location, *, known: Collection[str]) -> str:
    name = str(location[-1])
    label = name if len(name) < 100 else shown(name)
    prefix = _key((*location[:-1], ""))
    return f"{prefix}{label}: unknown key{did_you_mean(name, known)}; known: {', '.join(known)}."


def _choices(owner: type[Options], location: Location, error: ErrorDetails) -> tuple[str, ...]:
    if error["type"] == "choice":
        choices: tuple[str, ...] = error["ctx"]["choices"]
        return choices
    annotation = owner.model_fields[str(_field_location(location)[-1])].annotation
    if typing.get_origin(annotation) is not Literal:  # of a value that may be null too
        annotation = next(
            each for each in typing.get_args(annotation) if typing.get_origin(each) is Literal
        )
    return typing.get_args(annotation)


def _bounds(field: FieldInfo) -> str:
    """Return the range of a number, of the items of a list, or of what may be null too."""
    words = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    return " and ".join(
        f"{sign} {getattr(limit, name)}"
        for name, sign in words.items()
        for limit in _annotations(field)
        if getattr(limit, name, None) is not None
    )
