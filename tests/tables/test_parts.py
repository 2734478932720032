"""The names of parts: what a name says, and back."""

from __future__ import annotations

import pytest

from dae_aqa.tables.parts import Part

NAMES = {
    "": Part(),
    "gym_vault": Part(task="gym_vault"),
    "fold2": Part(fold="2"),
    "Suturing-fold1": Part(task="Suturing", fold="1"),
    "Knot_Tying-foldB": Part(task="Knot_Tying", fold="B"),
    "repeat1-fold2": Part(repeat=1, fold="2"),
    "a-repeat3-fold10": Part(task="a", repeat=3, fold="10"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_what_its_part_is(name):
    assert Part.parse(name) == NAMES[name]
    assert NAMES[name].name == name


@pytest.mark.parametrize("name", ["a-b", "-", "a-fold1-fold2", "fold1-repeat1", "a/fold1", "é"])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match="no name of a part"):
        Part.parse(name)


def test_parts_are_in_order_of_task_repeat_and_fold():
    ordered = ["a-repeat1-fold2", "a-repeat1-fold10", "a-repeat2-fold1", "b-foldB", "b-foldC"]
    names = [part.name for part in sorted(map(Part.parse, ordered[::-1]), key=lambda p: p.place)]
    assert names == ordered
