"""Boundaries between the elements of a JSON list, found from its bytes so that a long list can be cut without parsing.

The method is simdjson's first stage (Langdale and Lemire, arXiv 1902.08318) in numpy: unescaped quotes show what is
inside strings, brackets outside strings give the depth. It handles about 150 MB/s. For invalid JSON the positions are
meaningless; parsing the pieces then fails.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

_QUOTE = 34
_BACKSLASH = 92
_COMMA = 44

_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1

_STRUCTURAL = _STEP != 0
_STRUCTURAL[_COMMA] = True


class Cuts(NamedTuple):
    """Positions at which consecutive elements of a list can be cut apart."""

    commas: np.ndarray
    """Positions of the commas between elements, in bytes."""
    end: int | None
    """Position of the bracket that closes the list, if present."""
    regular: bool
    """True if one bracket opens before each comma, as in a list of objects or lists, or if there are no commas."""


def find_cuts(data: bytes) -> Cuts:
    """Return the cuts of consecutive elements of a list. The data starts after the list's `[` or after a comma."""
    codes = np.frombuffer(data, np.uint8)
    quotes = codes == _QUOTE
    if b"\\" in data:
        escaped = _find_escaped(codes)
        quotes[escaped[escaped < codes.size]] = False
    structural = _STRUCTURAL[codes]
    # Only the parity of the count matters, and it survives the overflow at 256.
    structural &= (np.cumsum(quotes, dtype=np.uint8) & 1) == 0
    places = np.flatnonzero(structural)
    structural_codes = codes[places]
    depth = np.cumsum(_STEP[structural_codes], dtype=np.int32)
    closing = np.flatnonzero(depth < 0)
    stop = closing[0] if closing.size else places.size
    commas = places[:stop][(structural_codes[:stop] == _COMMA) & (depth[:stop] == 0)]
    opened = places[:stop][(_STEP[structural_codes[:stop]] == 1) & (depth[:stop] == 1)]
    regular = np.searchsorted(opened, commas[-1]) == commas.size if commas.size else True
    return Cuts(commas, int(places[stop]) if closing.size else None, bool(regular))


def split_elements(data: bytes) -> list[bytes]:
    """Return the bytes of each of consecutive list elements, without commas and surrounding white space."""
    cuts = find_cuts(data)
    bounds = [-1, *cuts.commas.tolist(), len(data) if cuts.end is None else cuts.end]
    return [data[start + 1 : stop].strip() for start, stop in pairwise(bounds)]


def _find_escaped(codes: np.ndarray) -> np.ndarray:
    """Return the positions of escaped bytes: those after an odd number of backslashes."""
    slashes = np.flatnonzero(codes == _BACKSLASH)
    starts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
    lengths = np.diff(starts, append=slashes.size)
    return (slashes[starts] + lengths)[lengths % 2 == 1]
