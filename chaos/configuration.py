"""What the configurations of all runs have in common."""

REQUEST_TIMEOUT_S = 2.0

_PORTAL = """
[portals.{name}]
url = "{url}"
username = "admin@example.com"
password = "simulator-password"
requests_per_second = {requests_per_second}
burst = {burst}
max_concurrency = {max_concurrency}
batch_size_start = {batch_sizes[0]}
batch_size_max = {batch_sizes[1]}
request_timeout_s = {timeout_s}
backoff_base_s = 0.2
backoff_max_s = {backoff_max_s}
# Faults strike everywhere, and workers are cut off: such a campaign has to retry a lot, and may lose many contacts in a
# row.
retry_share = 0.5
failure_threshold = 1.0
{guards}"""

_PROCESSES = """
[worker]
slice_s = 5.0
shutdown_grace_s = 6.0
{more}
[log]
format = "json"
"""


def portal_table(
    name: str,
    url: str,
    *,
    requests_per_second: float,
    burst: int,
    max_concurrency: int,
    batch_sizes: tuple[int, int],
    backoff_max_s: float,
    guards: str = "",
) -> str:
    """Return the settings of one portal.

    Args:
        name: of the portal.
        url: its address.
        requests_per_second: its ceiling, calls/s.
        burst: calls that may come at once.
        max_concurrency: calls in flight.
        batch_sizes: contacts of a call, at first and at most.
        backoff_max_s: the longest pause before a contact is tried again.
        guards: further lines.
    """
    return _PORTAL.format(
        name=name,
        url=url,
        requests_per_second=requests_per_second,
        burst=burst,
        max_concurrency=max_concurrency,
        batch_sizes=batch_sizes,
        backoff_max_s=backoff_max_s,
        timeout_s=REQUEST_TIMEOUT_S,
        guards=guards,
    )


def process_tables(*, worker: str = "") -> str:
    """Return the settings of the processes, with further lines for workers."""
    return _PROCESSES.format(more=worker)
