"""Everything one simulated portal consists of."""

from simulator.authentication import Authentication
from simulator.behaviour import Behaviour
from simulator.capacity import Capacity
from simulator.faults import Fault, Faults
from simulator.latency import Gate, Latency
from simulator.truth import Truth
from simulator.world import World


class Portal:
    """The parts of one portal, and its addresses once it is running.

    Attributes:
        url: base address of the portal, without ``/api``.
        truth_url: base address of the truth, ``/truth`` included.
    """

    def __init__(self, world: World, behaviour: Behaviour, faults: list[Fault] | None = None) -> None:
        self.url = self.truth_url = ""
        self.behaviour = behaviour
        self.faults = Faults(list(faults or []), behaviour.seed)
        self.authentication = Authentication(behaviour)
        self.latency = Latency(behaviour)
        self.gate = Gate(behaviour)
        self.reset(world)

    def reset(self, world: World) -> None:
        """Begin a new world with an empty record; switches, faults and sessions stay."""
        self.world = world
        self.truth = Truth(world)
        self.capacity = Capacity(self.behaviour)
        self.cached_totals: dict[str, tuple[float, int]] = {}
