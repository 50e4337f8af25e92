"""Short forms of numbers, durations and amounts of money for tables."""


def number(value: float | None) -> str:
    """Return a number with three significant digits: `812`, `1.23k`, `4.56M`; `?` for `None`."""
    if value is None:
        return "?"
    for unit, one in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * one:
            return f"{value / one:#.3g}".rstrip(".") + unit
    return f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """Return a duration: `8 s`, `12 min`, `3.4 h`; `?` for `None`."""
    if seconds is None:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{number(round(seconds / 3600, 1 if seconds < 360_000 else 0))} h"


def money(value: float | None) -> str:
    """Return an amount with two decimals, or two significant digits below 0.1; `?` for `None`."""
    return "?" if value is None else f"{value:,.2f}" if value >= 0.1 or not value else f"{value:.2g}"
