"""A portal that behaves, and misbehaves, like the real one. Imports none of our other packages.

In a test::

    async with simulator.running(World(1000, read_only=10), Behaviour(base_ms=5)) as portal:
        ...  # talk to portal.url with portal.behaviour.token
        assert portal.truth.deleted == ...

As a process: ``python -m simulator --help``.
"""

from simulator.behaviour import Behaviour
from simulator.faults import Fault
from simulator.portal import Portal
from simulator.server import running
from simulator.truth import RecordedCall, Truth
from simulator.world import World

__all__ = ["Behaviour", "Fault", "Portal", "RecordedCall", "Truth", "World", "running"]
