"""The last question before a batch leaves: whether it is still the lane's, and whether it may still be sent.

A batch passes the portal's gates when it is handed out, and usually leaves at once. But a log-in, a turn or a
connection can take seconds, in which a person stops the portal, a job is paused or a window closes. So a PUT that has
waited is judged again, by the step of Redis that knows all of that.
"""

import asyncio
from dataclasses import dataclass

from redis.exceptions import RedisError

from config.logging import get_logger
from jobs.lanes.grants import Batch
from jobs.lanes.lease import LaneLedger
from jobs.ledger.items import Call
from jobs.store.connection import AWAY
from jobs.store.trouble import word_for
from worker.drain import Drain

#: A PUT that leaves within this time of being asked for passes on what it was told then, seconds. A stop that is
#: ordered meanwhile comes too late for it.
FRESH_S = 0.25
#: Redis has this long to judge a PUT again, seconds: if it stalls, the PUT is given back, and what it says is not about
#: a moment long past.
_ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Clearance:
    """Permission to send one batch.

    Attributes:
        ledger: the lane's side of the ledger.
        batch: what the lane was handed out last.
        drain: signals that the worker has to stop.
    """

    ledger: LaneLedger
    batch: Batch
    drain: Drain

    async def may_send(self) -> bool:
        """Check whether the batch may leave now."""
        # If the lease is lost, this process stalled, or waited for a log-in while Redis stalled, for longer than a
        # lease lasts: another worker may have the batch.
        if not self.ledger.holds_lease:
            return False
        if self.batch.call is not Call.PUT or self.ledger.since_handed_out_s() < FRESH_S:
            return True
        if self.drain.wanted:
            return False
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self.ledger.may_send(self.batch) and self.ledger.holds_lease
        except (TimeoutError, *AWAY, RedisError) as error:
            get_logger().warning("redis_away", error=word_for(error))
            return False
