"""Priority: how often a job's turn comes among the others of its portal."""

from enum import StrEnum


class Priority(StrEnum):
    """Jobs of one portal take turns, a batch each; a job of higher priority has more of them. None ever starves."""

    URGENT = "urgent"
    """Ten turns for each one of a normal job."""
    NORMAL = "normal"
    """One turn each."""
    BACKGROUND = "background"
    """One turn for every ten of a normal job, and all of them while nobody else wants one."""

    @property
    def stride(self) -> float:
        """How far back in the queue one turn puts the job; a normal one 1."""
        return _STRIDES[self]


_STRIDES = {Priority.URGENT: 0.1, Priority.NORMAL: 1.0, Priority.BACKGROUND: 10.0}
