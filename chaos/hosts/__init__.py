"""Chaos with hosts: servers, sentinels, workers and the API, each on a host of its own, while hosts fail and part."""
