"""Families of metrics, with the prefix that all of ours have."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

PREFIX = "crm_sweep_"


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """Return an empty family of gauges.

    Args:
        name: its name without the prefix.
        text: what it says, a sentence.
        labels: the names of its labels.
    """
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """Return an empty family of counters; arguments are those of `gauge`."""
    return CounterMetricFamily(PREFIX + name, text, labels=labels)
