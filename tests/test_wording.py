"""How messages show values and lists."""

import pytest

from dae_aqa.wording import first_few, first_lines, problem_list, shown


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", 2], "a, 2"),
        (["a", "b", "c"], "a, b and 1 more"),
        ([*"abcdefgh"], "a, b and 6 more"),
    ],
)
def test_first_names(names, text):
    assert first_few(names, limit=2) == text


def test_first_lines():
    assert first_lines(["a", "b"], limit=2) == "  a\n  b"
    assert first_lines(["a", "b", "c", "d"], limit=2) == "  a\n  b\n  … and 2 more"


def test_problems_are_counted():
    assert problem_list(["lr: x", "seed: y"]) == "2 problem(s):\n  lr: x\n  seed: y"
    assert problem_list(["a", "b", "c"], limit=1) == "3 problem(s):\n  a\n  … and 2 more"


def test_a_long_value_is_cut():
    assert shown("short") == "'short'"
    assert shown("x" * 300) == "'" + "x" * 199 + " …"
