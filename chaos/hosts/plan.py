"""What a run with hosts consists of: who is where, the settings, and the lists that are submitted."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyroaring import BitMap

from chaos.configuration import portal_table, process_tables
from chaos.plan import LATEST_COMMIT_S, faults
from config.settings import WorkerConfig
from simulator.chance import seeded

PORTAL = "chaos"
PORTAL_PORT, API_PORT = 8090, 8080
API_KEY = "chaos-with-hosts"

PORTAL_HOST, API_HOST = "portal", "api"
SERVERS = ("redis-1", "redis-2", "redis-3")
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")

#: All workers together, calls/s.
REQUESTS_PER_SECOND = 20.0
_BURST = 2
_BATCH_SIZE = 12
#: Each worker has this many lanes, the portal takes exactly as many calls as there are lanes, and each call takes so
#: long that all of them are needed: so every worker has something to do, and is missed when it does nothing.
_LANES = 2
_CALL_MS = 200
LEASE_S = WorkerConfig().lease_ttl_s

#: Contacts of one list.
_SIZES = (40, 300)
#: Of this many lists, one is planned first, and one is cancelled.
_ONE_PLANNED_OF, _ONE_CANCELLED_OF = 3, 8

_REDIS = """\
[redis]
url = "{url}"
min_replicas = {min_replicas}
replica_timeout_s = {replica_timeout_s}
"""

_API = """
[api]
host = "{host}"
port = {port}
[[api.keys]]
name = "chaos"
key_sha256 = "{key_sha256}"
scopes = ["read", "submit", "control"]
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """One list.

    Attributes:
        job_id: the ID under which it is submitted.
        ids: its contacts, which are on no other list.
        planned: whether it is planned first, and approved.
        cancelled: whether somebody cancels it.
    """

    job_id: str
    ids: BitMap
    planned: bool
    cancelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsPlan:
    """One run.

    Attributes:
        minutes: how long misfortunes happen.
        failovers: they end earlier once there were so many fail-overs; 0 for no such end.
        workers: worker hosts.
        min_replicas: how many replicas must have a claim.
        replica_timeout_s: how long a claim waits for them.
        seed: decides the world, the misfortunes and their moments.
        fault_rate: probability, 0 to 1, that each of the portal's own faults strikes a deletion.
        acts: names of the misfortunes of the servers; empty for all of them.
        asides: whether workers, the API and the network have misfortunes of their own meanwhile.
    """

    minutes: float
    failovers: int
    workers: int
    min_replicas: int
    replica_timeout_s: float
    seed: int
    fault_rate: float
    acts: tuple[str, ...] = ()
    asides: bool = True
    worker_hosts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "worker_hosts", tuple(f"worker-{number + 1}" for number in range(self.workers)))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host."""
        return (*SERVERS, *SENTINELS, *self.worker_hosts, API_HOST, PORTAL_HOST)

    @property
    def contacts(self) -> int:
        """Contacts that can be put on lists: more than can be deleted in time."""
        return round(self.minutes * 60 * REQUESTS_PER_SECOND * _BATCH_SIZE) + 5000

    @property
    def latest_commit_s(self) -> float:
        """How long the portal may still take to commit a call after it has turned its caller away."""
        return LATEST_COMMIT_S if self.fault_rate else 0.0

    def world(self) -> dict[str, int]:
        """Return the simulator's options."""
        return {
            "--contacts": self.contacts,
            "--read-only": self.contacts // 100,
            "--invoiced": self.contacts // 100,
            "--missing": self.contacts // 50,
            "--seed": self.seed,
            "--base-ms": _CALL_MS,
            "--per-contact-ms": 1,
        }

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules of the portal's own misbehaviour."""
        return list(faults(self.fault_rate)) if self.fault_rate else []

    def submissions(self) -> Iterator[Submission]:
        """Yield lists, until every contact is on one."""
        chance: random.Random = seeded("submissions", self.seed)
        first = number = 1
        while first <= self.contacts:
            after = min(first + chance.randint(*_SIZES), self.contacts + 1)
            planned = number % _ONE_PLANNED_OF == 0
            cancelled = number % _ONE_CANCELLED_OF == 0
            yield Submission(f"job-{number:04}", BitMap(range(first, after)), planned, cancelled)
            first, number = after, number + 1

    def configuration(self, redis_url: str, portal_url: str, api_address: str) -> str:
        """Return the configuration of workers, API and command line."""
        redis = _REDIS.format(url=redis_url, min_replicas=self.min_replicas, replica_timeout_s=self.replica_timeout_s)
        portal = portal_table(
            PORTAL,
            portal_url,
            requests_per_second=REQUESTS_PER_SECOND,
            burst=_BURST,
            max_concurrency=_LANES * self.workers,
            batch_sizes=(_BATCH_SIZE, _BATCH_SIZE),
            backoff_max_s=2.0,
        )
        api = _API.format(host=api_address, port=API_PORT, key_sha256=hashlib.sha256(API_KEY.encode()).hexdigest())
        return redis + portal + api + process_tables(worker=f"max_lanes = {_LANES}\n")
