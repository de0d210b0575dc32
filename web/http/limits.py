"""What one caller can cost the server: sizes, waiting times, and how much can happen at the same time."""

from dataclasses import dataclass

_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the server. The defaults are those in force; tests pass smaller ones."""

    connection_idle_s: float = 15.0
    """A connection is closed when it has been idle, or its request headers have been incomplete, for this long."""
    body_silence_s: float = 30.0
    """A body that has been silent for this long is given up."""
    body_bytes_per_s: int = 256
    """A body that arrives more slowly than this, beyond the first `body_silence_s`, is given up: it would hold its
    place for hours. Thirty contact IDs a second are fast enough."""
    lingering_s: float = 5.0
    """How long the rest of a body is read after an answer that did not need it, so that the client reads the answer."""
    header_bytes: int = 8190
    """Longest request line, and longest header."""
    header_count: int = 64
    """Most headers of a request."""
    document_bytes: int = 64 * _MB
    """Largest JSON document of a submission, unpacked."""
    change_bytes: int = _MB
    """Largest body of any other request."""
    submissions: int = 8
    """Lists that are read at the same time."""
    submission_wait_s: float = 5.0
    """How long a further submission waits for its turn before it is told to come back later."""
    redis_s: float = 10.0
    """How long a request that reads or changes a job waits for Redis."""
    ending_s: float = 10.0
    """How long requests may continue once the server has been told to stop."""
    event_streams: int = 1000
    """Streams of events that are open at the same time."""
    events_every_s: float = 0.5
    """Time between two looks for changes, for all streams together."""
    events_patience_s: float = 2.0
    """A look that takes longer is waiting for Redis to come back: the readers are told."""
    events_silence_s: float = 15.0
    """How often a stream without events shows that it is alive."""
    downloads: int = 32
    """Ledgers that are sent at the same time, each of which holds a few megabytes."""
    reader_silence_s: float = 30.0
    """A reader that takes this long for 64 KiB of a stream or a ledger is cut off."""
