"""The metrics of webhooks: what became of events, and what still waits."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from jobs.webhooks.outbox import Result
from jobs.webhooks.view import WebhookView
from web.ops.families import counter, gauge


def webhook_metrics(webhooks: Sequence[WebhookView]) -> Iterator[Metric]:
    """Return the metrics, each with its samples.

    Args:
        webhooks: those that are configured. Only their names are shown.
    """
    tries = counter("webhook_deliveries", "Tries to send an event, by what they came to.", "webhook", "result")
    waiting = gauge("webhook_waiting", "Events that are still to be delivered.", "webhook")
    oldest = gauge(
        "webhook_oldest_waiting_seconds", "Seconds since the oldest of these events happened; 0 without any.", "webhook"
    )
    for webhook in webhooks:
        counts = {
            Result.DELIVERED: webhook.delivered,
            Result.FAILED: webhook.failed,
            Result.GIVEN_UP: webhook.given_up,
        }
        for result, count in counts.items():
            tries.add_metric([webhook.name, result], count)
        waiting.add_metric([webhook.name], webhook.waiting)
        oldest.add_metric([webhook.name], webhook.oldest_waiting_s)
    yield from (tries, waiting, oldest)
