"""The result of a call, as it is counted and shown: workers write it, people and monitoring read it."""

from bisect import bisect_left

import msgspec

from jobs.store.times import iso

#: Upper bounds of the histogram of call durations, in seconds; the last bucket, "+Inf", takes the rest.
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BUCKET_NAMES = (*(f"{bound:g}" for bound in BUCKETS_S), "+Inf")

CALLS = ("put", "look_up", "survey")
OK = "ok"


class LastAnswer(msgspec.Struct, frozen=True):
    """One of the portal's last answers."""

    at: str
    """When it came, ISO 8601 in UTC."""
    job_id: str
    """The job that called."""
    call: str
    """`put`, `look_up` or `survey`."""
    size: int
    """Contacts in the call; of a survey, in its answer."""
    took_ms: int
    """How long the answer took, in milliseconds."""
    http_status: int | None
    """Its status; None if there was no answer."""
    result: str
    """`ok`, or the word for what went wrong."""


class CallReport(msgspec.Struct, frozen=True):
    """One answer as the worker got it, or its absence.

    Attributes:
        at_ms: when it came, Unix milliseconds on the Redis server's clock.
        job_id: the job that called.
        call: `put`, `look_up` or `survey`.
        size: contacts in the call; of a survey, in its answer.
        took_s: how long the answer took, in seconds.
        http_status: its status; None if there was no answer.
        result: `ok`, or the word for what went wrong.
    """

    at_ms: int
    job_id: str
    call: str
    size: int
    took_s: float
    http_status: int | None
    result: str

    def counted(self) -> tuple[str, str, str, int, str]:
        """Return call, result, histogram bucket, duration in ms and the list entry, as settle.lua expects them."""
        took_ms = round(self.took_s * 1000)
        shown = (self.at_ms, self.job_id, self.call, self.size, took_ms, self.http_status, self.result)
        bucket = BUCKET_NAMES[bisect_left(BUCKETS_S, self.took_s)]
        return self.call, self.result, bucket, took_ms, _encode(shown).decode()


_Kept = tuple[int, str, str, int, int, int | None, str]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


def read_answer(kept: bytes) -> LastAnswer:
    """Read an entry of a portal's list of last answers."""
    at_ms, *rest = _decode(kept)
    return LastAnswer(iso(at_ms), *rest)
