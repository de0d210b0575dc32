"""Priority: how often a job gets a turn among the other jobs of its portal."""

from enum import StrEnum


class Priority(StrEnum):
    """Jobs of one portal take turns, a batch each; a job of higher priority gets more turns. None ever starves."""

    URGENT = "urgent"
    """Ten turns for each turn of a normal job."""
    NORMAL = "normal"
    """One turn each."""
    BACKGROUND = "background"
    """One turn for every ten of a normal job, and all of them while no other job wants one."""

    @property
    def stride(self) -> float:
        """How far back in the queue one turn puts the job; 1 for a normal job."""
        return _STRIDES[self]


_STRIDES = {Priority.URGENT: 0.1, Priority.NORMAL: 1.0, Priority.BACKGROUND: 10.0}
