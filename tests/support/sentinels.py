"""Redis behind Sentinel, for tests; chaos and benchmarks use the same processes."""

from bench.sentinels import NAME, SentinelGroup, Server, sentinel_group

__all__ = ["NAME", "SentinelGroup", "Server", "sentinel_group"]
