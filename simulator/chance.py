"""Seeded randomness: the same seed gives the same world and the same misfortunes."""

import random


def seeded(*seed: object) -> random.Random:
    """Return a generator that depends only on the given parts."""
    return random.Random(":".join(map(str, seed)))  # noqa: S311 - repeatable test data, no secret depends on it
