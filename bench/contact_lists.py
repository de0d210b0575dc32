"""Lists of contact IDs to measure with."""

import random
from collections.abc import Iterator

from pyroaring import BitMap

DENSE_OUT_OF = 3  #: a dense list holds one in this many consecutive IDs
SPARSE_HIGHEST = 2**31 - 1  #: a sparse list is spread over the whole range of IDs

_STEP = 100_000


def draw(count: int, highest: int, *, seed: int) -> Iterator[list[int]]:
    """Yield distinct IDs from 1 to `highest` in random order, a chunk at a time."""
    rng = random.Random(seed)
    seen = BitMap()
    while len(seen) < count:
        drawn = dict.fromkeys(rng.choices(range(1, highest + 1), k=_STEP))
        new = [contact_id for contact_id in drawn if contact_id not in seen][: count - len(seen)]
        seen.update(new)
        yield new


def contact_list(count: int, highest: int, *, seed: int) -> BitMap:
    """Return the same IDs as a set."""
    ids = BitMap()
    for some in draw(count, highest, seed=seed):
        ids.update(some)
    return ids
