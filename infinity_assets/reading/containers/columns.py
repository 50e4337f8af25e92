"""Columns of one name in a table: they are numbered, and each record says where they differ."""

from collections.abc import Iterable

DUPLICATE_COLUMNS = "duplicate_columns"
"""Repair of a row in which columns of one name differ: the first that is not empty counts."""


def number_duplicates(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Make names unique: the second `answer` becomes `answer_2`. Return them, and the first name of each new one."""
    unique: list[str] = []
    doubles: dict[str, str] = {}
    for name in names:
        number = 1
        unique_name = name
        while unique_name in unique:
            number += 1
            unique_name = f"{name}_{number}"
        unique.append(unique_name)
        if name and unique_name != name:
            doubles[unique_name] = name
    return unique, doubles


def merge_duplicates(values: dict[str, object], doubles: dict[str, str]) -> bool:
    """Give the first column of each name the first value that is not empty, and leave the others only other values.

    A value that the first column has, too, would otherwise be reported as unread.

    Args:
        values: The row, changed in place.
        doubles: The first name of each second, from `number_duplicates`.

    Returns:
        Whether columns of one name differ.
    """
    differ = False
    for name, first in doubles.items():
        differ = differ or values[name] != values[first]
        if values[first] in (None, ""):
            values[first] = values[name]
        if values[name] == values[first]:
            values[name] = None
    return differ
