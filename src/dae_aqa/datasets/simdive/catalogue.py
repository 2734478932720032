"""The dives of a 10 m platform event: numbers, degrees of difficulty, how often they are chosen.

A dive number reads as in the rules of diving: first digit the group (1 forward, 2 back, 3 reverse,
4 inward, 5 twisting with the take-off in the second digit, 6 armstand with the direction in the
second digit), then half somersaults, then half twists, then the position (A straight, B pike,
C tuck, D free).

Source: numbers and degrees of difficulty from the World Aquatics table for 10 m; how often a dive
is chosen is rounded from the 1,412 dives of MTL-AQA (Parmar and Morris, CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TakeOff = Literal["forward", "back", "reverse", "inward"]
Position = Literal["straight", "pike", "tuck", "free"]

_TAKE_OFFS: dict[str, TakeOff] = {"1": "forward", "2": "back", "3": "reverse", "4": "inward"}
_POSITIONS: dict[str, Position] = {"A": "straight", "B": "pike", "C": "tuck", "D": "free"}

# number: (degree of difficulty, relative frequency)
_CATALOGUE: dict[str, tuple[float, int]] = {
    "407C": (3.2, 180),
    "107B": (3.0, 160),
    "5253B": (3.2, 110),
    "307C": (3.4, 110),
    "207C": (3.3, 95),
    "205B": (2.9, 85),
    "6243D": (3.2, 65),
    "109C": (3.7, 60),
    "5255B": (3.6, 50),
    "405B": (2.8, 45),
    "5154B": (3.3, 40),
    "207B": (3.6, 35),
    "626C": (3.3, 30),
    "305C": (2.8, 30),
    "305B": (3.0, 30),
    "5152B": (2.9, 25),
    "6245D": (3.6, 25),
    "403B": (2.0, 20),
    "5353B": (3.3, 20),
    "103B": (1.6, 20),
    "301B": (1.9, 20),
    "405C": (2.7, 15),
    "626B": (3.5, 15),
    "205C": (2.8, 15),
    "5156B": (3.8, 10),
    "107C": (2.7, 10),
    "6142D": (3.1, 10),
    "105B": (2.3, 10),
    "201A": (1.9, 10),
    "301A": (2.0, 10),
    "636C": (3.3, 5),
    "409C": (4.1, 5),
    "5235D": (2.8, 5),
}


@dataclass(frozen=True, kw_only=True)
class DiveKind:
    """What a dive number says.

    Attributes:
        number: as announced, e.g. '5253B'.
        difficulty: degree of difficulty.
        take_off: direction of take-off and rotation.
        armstand: whether the dive starts from a handstand.
        half_somersaults: number of half somersaults.
        half_twists: number of half twists.
        position: body position in flight.
    """

    number: str
    difficulty: float
    take_off: TakeOff
    armstand: bool
    half_somersaults: int
    half_twists: int
    position: Position


def parse_dive_number(number: str, *, difficulty: float) -> DiveKind:
    """Return what the dive number says, e.g. '5253B' is back, 2½ somersaults, 1½ twists, pike."""
    digits, position = number[:-1], number[-1]
    group = digits[0]
    return DiveKind(
        number=number,
        difficulty=difficulty,
        take_off=_TAKE_OFFS[digits[1] if group in "56" else group],
        armstand=group == "6",
        half_somersaults=int(digits[2]),
        half_twists=int(digits[3]) if len(digits) == 4 else 0,
        position=_POSITIONS[position],
    )


DIVE_KINDS: tuple[DiveKind, ...] = tuple(
    parse_dive_number(number, difficulty=difficulty)
    for number, (difficulty, _) in _CATALOGUE.items()
)
_TOTAL = sum(frequency for _, frequency in _CATALOGUE.values())
DIVE_PROBABILITIES: tuple[float, ...] = tuple(
    frequency / _TOTAL for _, frequency in _CATALOGUE.values()
)
