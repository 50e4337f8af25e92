"""Where the elements of a JSON list end, from its bytes alone: a long list is cut into pieces without parsing it.

The method is simdjson's first stage (Langdale and Lemire, arXiv 1902.08318) in numpy: quotes that are not escaped tell what is inside strings,
brackets outside strings tell the depth. About 150 MB/s; text that is no valid JSON gives positions that mean nothing, which parsing shows.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

_QUOTE, _BACKSLASH, _COMMA = 34, 92, 44

_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1

_STRUCTURAL = _STEP != 0
_STRUCTURAL[_COMMA] = True


class Cuts(NamedTuple):
    """Positions in a run of list elements."""

    commas: np.ndarray
    """Of the commas between elements."""
    end: int | None
    """Of the bracket that closes the list, if it is there."""
    regular: bool
    """Whether one bracket opens before each comma, as in any list of objects or of lists. Says nothing where there are no commas."""


def element_cuts(data: bytes) -> Cuts:
    """The cuts of a run of elements, which starts at the beginning of one: after the list's `[` or after a comma."""
    codes = np.frombuffer(data, np.uint8)
    quotes = codes == _QUOTE
    if b"\\" in data:
        escaped = _escaped(codes)
        quotes[escaped[escaped < codes.size]] = False
    structural = _STRUCTURAL[codes]
    # Modulo 256 the count keeps its parity, which is all that is wanted.
    structural &= (np.cumsum(quotes, dtype=np.uint8) & 1) == 0
    places = np.flatnonzero(structural)
    found = codes[places]
    depth = np.cumsum(_STEP[found], dtype=np.int32)
    closing = np.flatnonzero(depth < 0)
    stop = closing[0] if closing.size else places.size
    commas = places[:stop][(found[:stop] == _COMMA) & (depth[:stop] == 0)]
    opened = places[:stop][(_STEP[found[:stop]] == 1) & (depth[:stop] == 1)]
    regular = np.searchsorted(opened, commas[-1]) == commas.size if commas.size else True
    return Cuts(commas, int(places[stop]) if closing.size else None, bool(regular))


def elements(data: bytes) -> list[bytes]:
    """The bytes of each element of a run: without the commas between them and the space around them."""
    cuts = element_cuts(data)
    bounds = [-1, *cuts.commas.tolist(), len(data) if cuts.end is None else cuts.end]
    return [data[start + 1 : stop].strip() for start, stop in pairwise(bounds)]


def _escaped(codes: np.ndarray) -> np.ndarray:
    """The positions after an odd run of backslashes."""
    slashes = np.flatnonzero(codes == _BACKSLASH)
    starts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
    lengths = np.diff(starts, append=slashes.size)
    return (slashes[starts] + lengths)[lengths % 2 == 1]
