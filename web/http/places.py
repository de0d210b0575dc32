"""A bound on how much happens at the same time: a caller who finds all places taken is told to come back."""

from collections.abc import Iterator
from contextlib import contextmanager

from web.http.problems import Kind, Refusal


class Places:
    """Places of one kind in this process.

    Args:
        count: how many there are.
        refusal: what to tell a caller who finds none.
        retry_after_s: when to come back, in whole seconds.
    """

    def __init__(self, count: int, refusal: str, *, retry_after_s: int = 10) -> None:
        self._free = count
        self._refusal = refusal
        self._retry_after_s = retry_after_s

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for the block; to be entered before the first byte of an answer.

        Raises:
            Refusal: all are taken.
        """
        if not self._free:
            raise Refusal(Kind.TOO_BUSY, self._refusal, headers={"Retry-After": str(self._retry_after_s)})
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
