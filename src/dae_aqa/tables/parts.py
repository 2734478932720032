"""Parts: what of a dataset is trained and tested by itself, such as a task, a class or a fold.

A part has a name and nothing else; the name says what kind of part it is. `''` is the only part of
a dataset that is not divided, and nothing of it is to be seen in tables, files and figures.

Examples: `gym_vault` (a class), `fold2`, `Suturing-fold1`, `repeat1-fold2`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_WORD_LENGTH = 60
WORD = re.compile(rf"[A-Za-z0-9_]{{1,{_MAX_WORD_LENGTH}}}")  # of a task or a fold: it names files
WORD_RULE = f"may hold at most {_MAX_WORD_LENGTH} letters, digits and '_'"
_NAME = re.compile(
    rf"(?:(?P<task>{WORD.pattern})(?:-|$))??"
    rf"(?:repeat(?P<repeat>\d+)-)?"
    rf"(?:fold(?P<fold>{WORD.pattern}))?"
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a part's name says.

    Attributes:
        task: the task or class; '' where the dataset has but one.
        repeat: which drawing of folds, counted from 1; 0 where they were drawn once or are given.
        fold: the fold that is tested; '' where there are no folds.
    """

    task: str = ""
    repeat: int = 0
    fold: str = ""

    @property
    def name(self) -> str:
        """Return the name, fit for a file; '' for the whole of a dataset."""
        repeat = f"repeat{self.repeat}" if self.repeat else ""
        fold = f"fold{self.fold}" if self.fold else ""
        return "-".join(word for word in (self.task, repeat, fold) if word)

    @property
    def place(self) -> tuple[str, int, str]:
        """Return what parts are ordered by: task, repeat, fold; fold 2 comes before fold 10."""
        return self.task, self.repeat, self.fold.zfill(_MAX_WORD_LENGTH)

    @classmethod
    def parse(cls, name: str) -> Part:
        """Return the part of that name.

        Raises:
            ValueError: no part is called so.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"no name of a part: {name!r}")
        words = match.groupdict()
        return cls(
            task=words["task"] or "",
            repeat=int(words["repeat"] or 0),
            fold=words["fold"] or "",
        )
