"""Options: what a section accepts, and how every fault of a file is told."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from types import MappingProxyType
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from dae_aqa.errors import ParamsError
from dae_aqa.options import (
    FROM_LIST,
    CountInt,
    Fraction,
    Options,
    PositiveInt,
    Text,
    UserPath,
    flatten,
    one_of,
    parse_options,
    path_keys,
)

TABLE = {"first": 1, "second": 2}


def _low_is_below_high(pair: Any) -> Iterator[str]:
    if pair.low >= pair.high:
        yield f"low: {pair.low} is not below high ({pair.high})."


def _sum_is_even(pair: Any) -> Iterator[str]:
    if pair.sum % 2:
        yield f"low: the sum {pair.sum} is odd."


class Pair(Options):
    RULES = (_low_is_below_high, _sum_is_even)

    low: int
    high: int

    @property
    def sum(self) -> int:
        return self.low + self.high


class Inner(Options):
    starts: Annotated[tuple[CountInt, ...], FROM_LIST]
    pair: Pair


def _share_needs_room(outer: Any) -> Iterator[str]:
    if outer.share > outer.inner.pair.high:
        yield f"share: {outer.share} needs more room."


class Outer(Options):
    RULES = (_share_needs_room,)

    on: bool
    count: PositiveInt
    share: Fraction
    name: Text
    short: Annotated[Text, Field(max_length=5)]
    colour: Literal["red", "green"] | None
    choice: Annotated[str, one_of(TABLE)] | None
    limit: PositiveInt | None
    table: UserPath
    folder: UserPath | None
    inner: Inner


GOOD: dict[str, Any] = {
    "on": True,
    "count": 3,
    "share": 0.5,
    "name": "a name",
    "short": "12345",
    "colour": "red",
    "choice": "first",
    "limit": 7,
    "table": "a.csv",
    "folder": None,
    "inner": {"starts": [0, 10], "pair": {"low": 1, "high": 3}},
}


def content(**changes: object) -> dict[str, Any]:
    return GOOD | changes


def faults(value: object, cls: type[Options] = Outer) -> list[str]:
    """Return the lines on the faults of `value`."""
    with pytest.raises(ParamsError, match=r"^file: \d+ problem\(s\):\n") as caught:
        parse_options(cls, value, source="file")
    head, *lines = str(caught.value).split("\n")
    if not lines[-1].startswith("  …"):
        assert head == f"file: {len(lines)} problem(s):"
    return [line.removeprefix("  ") for line in lines]


def test_good_content():
    options = parse_options(Outer, GOOD, source="file")
    assert options.inner.starts == (0, 10)
    assert flatten(options) == flatten(GOOD)
    assert flatten(options)["inner.starts"] == [0, 10]


@pytest.mark.parametrize("key", ["colour", "choice", "limit", "folder"])
def test_null_where_it_is_allowed(key):
    assert getattr(parse_options(Outer, content(**{key: None}), source="file"), key) is None


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("on", 1, "on: expected true or false, got 1 (int)."),
        ("on", "true", "on: expected true or false, got 'true' (str)."),
        ("on", None, "on: expected true or false, got None (NoneType)."),
        ("count", True, "count: expected a whole number, got True (bool)."),
        ("count", 3.0, "count: expected a whole number, got 3.0 (float)."),
        ("count", float("nan"), "count: expected a whole number, got nan (float)."),
        ("count", "3", "count: expected a whole number, got '3' (str)."),
        ("count", b"3", "count: expected a whole number, got b'3' (bytes)."),
        ("count", 0, "count: 0 is out of range; expected a number >= 1 and <= 1000000."),
        ("count", 10**30, f"count: {10**30} is out of range; expected a number >= 1 and <= 100"),
        ("limit", 0, "limit: 0 is out of range; expected a number >= 1 and <= 1000000."),
        ("limit", "x", "limit: expected a whole number, got 'x' (str)."),
        ("share", True, "share: expected a number, got True (bool)."),
        ("share", "0.5", "share: expected a number, got '0.5' (str)."),
        ("share", float("nan"), "share: expected a finite number, got nan (float)."),
        ("share", float("-inf"), "share: expected a finite number, got -inf (float)."),
        ("share", 1 + 1e-15, "share: 1.000000000000001 is out of range; expected a number >= 0 an"),
        ("share", 10**400, "share: expected a finite number, got 1000000000"),
        ("name", 3, "name: expected a text, got 3 (int)."),
        ("name", datetime.date(2001, 1, 1), "name: expected a text, got datetime.date(2001, 1, 1"),
        ("name", "", "name: expected a text that is not blank and has no control characters, got"),
        ("name", " \t", "name: expected a text that is not blank and has no control characters"),
        ("name", "a\nb", "name: expected a text that is not blank and has no control characters"),
        ("short", "123456", "short: 6 characters; expected at most 5."),
        ("colour", "Red", "colour: 'Red' is not allowed (did you mean 'red'?); expected one of: r"),
        ("colour", 3, "colour: 3 is not allowed; expected one of: red, green."),
        ("colour", ["red"], "colour: ['red'] is not allowed (did you mean 'red'?); expected one"),
        ("choice", "frist", "choice: 'frist' is not allowed (did you mean 'first'?); expected one"),
        ("choice", "x", "choice: 'x' is not allowed; expected one of: first, second."),
        ("choice", 1, "choice: expected a text, got 1 (int)."),
        ("folder", "", "folder: expected a text that is not blank and has no control characters"),
        ("inner", None, "inner: expected a section with keys, got None (NoneType)."),
        ("inner", [1], "inner: expected a section with keys, got [1] (list)."),
        ("inner", "x", "inner: expected a section with keys, got 'x' (str)."),
    ],
)
def test_a_fault_of_one_value(key, value, fault):
    (told,) = faults(content(**{key: value}))
    assert told.startswith(fault)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([4, "a"], ["inner.starts[1]: expected a whole number, got 'a' (str)."]),
        (
            [True, 4.0, None],
            [
                "inner.starts[0]: expected a whole number, got True (bool).",
                "inner.starts[1]: expected a whole number, got 4.0 (float).",
                "inner.starts[2]: expected a whole number, got None (NoneType).",
            ],
        ),
        (
            [0, -1],
            [
                "inner.starts[1]: -1 is out of range; expected a number >= 0 and <= 1000000.",
            ],
        ),
        ([[0]], ["inner.starts[0]: expected a whole number, got [0] (list)."]),
        (4, ["inner.starts: expected a list, got 4 (int)."]),
        ("4", ["inner.starts: expected a list, got '4' (str)."]),
        ({4}, ["inner.starts: expected a list, got {4} (set)."]),
        ({0: 4}, ["inner.starts: expected a list, got {0: 4} (dict)."]),
        (None, ["inner.starts: expected a list, got None (NoneType)."]),
    ],
)
def test_faults_of_a_list(starts, expected):
    assert faults(content(inner={"starts": starts, "pair": {"low": 1, "high": 3}})) == expected


def test_an_item_too_many():
    class Triple(Options):
        values: Annotated[tuple[int, int], FROM_LIST]

    assert parse_options(Triple, {"values": [1, 2]}, source="file").values == (1, 2)
    assert faults({"values": [1, 2, 3]}, Triple) == ["values: 3 items; expected at most 2."]


@pytest.mark.parametrize("value", [None, [], [1], "text", 3, True, {1, 2}])
def test_content_that_is_no_section(value):
    (told,) = faults(value)
    assert told.startswith(f"the file: expected a section with keys, got {value!r} (")


@pytest.mark.parametrize("key", [1, 1.5, None, True, (1, 2), datetime.date(2001, 1, 1)])
def test_keys_that_are_no_texts(key):
    """YAML may hold them, in any section; they hide no other fault."""
    inner = {"starts": [0], "pair": {"low": 5, "high": 3, key: 1}}
    told = faults(content(inner=inner, count=0))
    assert told[0].startswith("count: 0 is out of range")
    assert told[1].startswith("inner.pair")
    assert told[1].endswith(": unknown key; known: low, high.")
    assert told[2:] == ["inner.pair.low: 5 is not below high (3)."]


def test_unknown_and_missing_keys():
    value = content(cuont=1, zzz=None)
    del value["count"], value["inner"]
    assert faults(value) == [
        "count: missing; every key must be in the file.",
        "inner: missing; every key must be in the file.",
        f"cuont: unknown key (did you mean 'count'?); known: {', '.join(GOOD)}.",
        f"zzz: unknown key; known: {', '.join(GOOD)}.",
    ]


def test_an_empty_file_misses_every_key():
    assert faults({}) == [f"{key}: missing; every key must be in the file." for key in GOOD]


def test_rules_of_sections_whose_own_fields_are_good():
    told = faults(content(count=0, inner={"starts": [0], "pair": {"low": 4, "high": 3}}))
    assert told == [
        "count: 0 is out of range; expected a number >= 1 and <= 1000000.",
        "inner.pair.low: 4 is not below high (3).",
        "inner.pair.low: the sum 7 is odd.",
    ]


def test_a_rule_that_needs_a_faulty_value_is_left_out():
    told = faults(content(inner={"starts": [0], "pair": {"low": "x", "high": 3}}))
    assert told == ["inner.pair.low: expected a whole number, got 'x' (str)."]


def test_a_rule_over_sections_is_told_beside_faults_elsewhere():
    inner = {"starts": ["x"], "pair": {"low": -4, "high": 0}}
    assert faults(content(share=1, on=0, inner=inner)) == [
        "on: expected true or false, got 0 (int).",
        "inner.starts[0]: expected a whole number, got 'x' (str).",
        "share: 1 needs more room.",
    ]


def test_rules_below_an_unknown_section_do_not_count():
    value = content(inner={"starts": [0], "pair": {"low": 1, "high": 3}, "other": {"low": 9}})
    assert faults(value) == ["inner.other: unknown key; known: starts, pair."]


def test_an_error_in_a_rule_is_not_hidden():
    """Only a value that is faulty may be lacking."""

    def broken(options: Any) -> Iterator[str]:
        yield options.no_such_field

    class Broken(Options):
        RULES = (broken,)

        low: int

    with pytest.raises(AttributeError, match="no_such_field"):
        parse_options(Broken, {"low": 1}, source="file")


def test_a_list_of_faults_is_cut_after_fifty():
    told = faults(content(**{f"extra_{number}": 1 for number in range(60)}))
    assert len(told) == 51
    assert told[-1] == "… and 10 more"
    with pytest.raises(ParamsError, match=r"^file: 60 problem"):
        parse_options(Outer, content(**{f"e{n}": 1 for n in range(60)}), source="file")


HUGE = {
    "number": 10**5000,
    "negative number": -(16**6000),
    "number in a list": [10**5000],
    "text": "x" * 10**6,
    "key": {"k" * 10**6: 1},
    "list": [[1] * 10**5],
}


@pytest.mark.parametrize("key", ["share", "short", "colour", "inner"])
@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
def test_huge_values_stay_short(key, value):
    """Python writes no number of more than 4,300 digits, hexadecimal ones are read all the same."""
    assert sum(map(len, faults(content(**{key: value})))) < 5_000


def test_many_faults_are_found_soon():
    start = time.perf_counter()
    faults(content(inner={"starts": ["x"] * 30_000, "pair": {"low": 1, "high": 3}}))
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("changes", [{"low": 9}, {"low": "1"}, {"other": 1}])
def test_direct_construction_is_checked(changes):
    with pytest.raises(ValidationError, match=r"low|other"):
        Pair(**{"low": 1, "high": 3} | changes)


def test_broken_rules_of_a_direct_construction_are_all_told():
    with pytest.raises(
        ValidationError, match=r"low: 4 is not below high \(3\)\. low: the sum 7 is odd\."
    ):
        Pair(low=4, high=3)


def test_replaced_values():
    options = parse_options(Outer, GOOD, source="file")
    other = options.replaced(count=4)
    assert (other.count, options.count) == (4, 3)
    assert other.replaced(count=3) == options
    assert other.inner is options.inner
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        options.replaced(count=0)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        options.replaced(cuont=4)


def test_options_are_frozen():
    with pytest.raises(ValidationError, match="Instance is frozen"):
        Pair(low=1, high=3).low = 2  # type: ignore[misc]


def test_path_keys():
    assert path_keys(Outer) == ["table", "folder"]

    class Around(Options):
        section: Outer
        files: tuple[UserPath, ...]

    assert path_keys(Around) == ["files", "section.table", "section.folder"]


def test_flatten_takes_any_mapping():
    nested = MappingProxyType({"a": {"b": (1, 2), "c": {}}, "d": None})
    assert flatten(nested) == {"a.b": [1, 2], "d": None}
