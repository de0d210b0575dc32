"""The metrics of campaigns: surveys under way, and plans that wait for approval."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import Metric

from jobs.view.backlog import PortalBacklog
from jobs.words.verdicts import Verdict
from web.ops.families import gauge

#: Gauges with one value per portal: name, help, value.
_PER_PORTAL: tuple[tuple[str, str, Callable[[PortalBacklog], float]], ...] = (
    (
        "surveys",
        "Jobs whose contacts are being read from the portal, to plan them or to look at them again.",
        lambda backlog: backlog.surveys,
    ),
    ("survey_contacts_read", "Contacts that these surveys have read.", lambda backlog: backlog.contacts_read),
    (
        "survey_contacts_expected",
        "Contacts that these surveys have to read, about, as far as that is known.",
        lambda backlog: backlog.contacts_expected,
    ),
    (
        "oldest_plan_age_seconds",
        "Seconds since the oldest plan was made that waits for approval and can still be approved; 0 without any.",
        lambda backlog: backlog.oldest_plan_s,
    ),
    (
        "plan_expires_seconds",
        "Seconds until the first of these plans expires; 0 without any.",
        lambda backlog: backlog.plan_expires_s,
    ),
)


def campaigns(backlogs: Mapping[str, PortalBacklog]) -> Iterator[Metric]:
    """Return the metrics, each with its samples.

    Args:
        backlogs: the jobs that have not ended, by portal.
    """
    for name, text, value in _PER_PORTAL:
        family = gauge(name, text, "portal")
        for portal, backlog in backlogs.items():
            family.add_metric([portal], value(backlog))
        yield family
    planned = gauge(
        "plan_contacts", "Contacts of the plans that wait for approval and can still be approved.", "portal", "verdict"
    )
    for portal, backlog in backlogs.items():
        for verdict in Verdict:
            planned.add_metric([portal, verdict], backlog.planned.get(verdict, 0))
    yield planned
