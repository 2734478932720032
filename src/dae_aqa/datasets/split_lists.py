"""A published split as lists of the samples that train and of those that are tested."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from dae_aqa.wording import shown

Key = TypeVar("Key", bound=Hashable)


def splits_of(
    lists: Mapping[str, tuple[str, object]],
    known: Mapping[Key, Any],
    *,
    dictionary: str,
    fault_of_key: Callable[[object], str],
    faults: list[str],
) -> dict[Key, str]:
    """Return the split of each sample; what is wrong with the lists is added to `faults`.

    Args:
        lists: by split, the name of its file for messages, and what that holds.
        known: the dives that there are, by key.
        dictionary: what names them, for messages.
        fault_of_key: returns why a value is no key, '' where it is one.
        faults: gets a line for each list that is none, and each key that is unknown or listed
            twice.
    """
    splits: dict[Key, str] = {}
    for split, (file, keys) in lists.items():
        if not isinstance(keys, list):
            faults.append(f"{file}: expected a list of sample keys, got {shown(keys)}")
            continue
        for listed in keys:
            key: Any = tuple(listed) if isinstance(listed, list) else listed
            if fault_of_key(key) or key not in known:
                faults.append(f"{file}: {shown(key)} is not a dive of {dictionary}")
            elif key in splits:
                faults.append(f"{file}: {key} is listed twice; splits may not overlap")
            else:
                splits[key] = split
    return splits
