"""Values that several tests start from."""

from jobs.portals import PortalView

#: A portal that nobody has driven yet.
PORTAL_VIEW = PortalView(
    name="main",
    requests_per_second=5.0,
    configured_requests_per_second=5.0,
    learned_requests_per_second=5.0,
    max_concurrency=1,
    configured_max_concurrency=1,
    batch_size=50,
    push_back_until=None,
    rest_asked_until=None,
    push_back_reason=None,
    fault=None,
    in_flight=0,
    lanes=0,
    active_jobs=0,
    last_answers=(),
    actions=(),
)
