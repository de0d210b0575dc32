"""Calls to the portal at the pace that everything shares: with patience, and heeding whatever holds the portal."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from redis.asyncio import Redis

from config.portal import Portal
from jobs.lanes.grants import Terms
from jobs.store import keys
from jobs.store.clock import Clocks
from jobs.store.portal_state import PortalState
from jobs.store.scripts import Script
from jobs.view.stops import Stop, stop_of
from jobs.words.reasons import remedy_without_job
from restore.errors import LeaseLost, PortalRefuses, RestoreStopped
from worker.creating_client import CreatingClient, Refusal, Said
from worker.exchange import MaySend
from worker.portal_answers import Failure, Remedy
from worker.push_back import PushBack, Relief
from worker.turns import turn_of_fleet

SPARE = Script("spare")

#: Failures in a row that are no attempts, because the portal asks for less or we wait on our own account.
_MOST_THROTTLED = 20
#: After Ctrl-C, a wait longer than this is not worth finishing the contact for, seconds.
_TOO_LONG_S = 10.0

T = TypeVar("T")


@dataclass(slots=True)
class Caller:
    """Makes the calls of one restore, one after the other.

    Args:
        redis: where the turns, the stop switch and the faults are shared.
        portal: its settings.
        terms: its limits, as workers keep them.
        client: calls it.
        may_send: asked right before each request leaves: whether no other process can be at work.
        tell_wait: called with the seconds of each wait for a turn.
        stopping: set once the user wants to stop.
    """

    redis: Redis
    portal: Portal
    terms: Terms
    client: CreatingClient
    may_send: MaySend
    tell_wait: Callable[[float], None]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    """Turns so far: one per call, log-ins included."""
    answered: int = 0
    """Calls that were answered so far."""
    answered_s: float = 0.0
    """Seconds that these took together."""
    _push_back: PushBack = field(init=False)

    def __post_init__(self) -> None:
        self._push_back = PushBack(self.portal.backoff_base_s, self.portal.backoff_max_s, self.portal.retry_after_max_s)

    def estimate_s(self, calls: int, requests_per_second: float) -> float:
        """Estimate how long calls take that are made one after the other, each as long as those before, seconds.

        Args:
            calls: how many.
            requests_per_second: the rate at which they get their turns.
        """
        mean_s = self.answered_s / self.answered if self.answered else 0.0
        return calls * max(1 / requests_per_second, mean_s)

    async def turn(self) -> None:
        """Wait for the turn of one call.

        Raises:
            RestoreStopped: the user wants to stop, and the wait is long.
        """
        self.calls += 1
        await turn_of_fleet(self.redis, self.portal.name, self.terms, on_wait=self._on_wait)

    async def check(self) -> None:
        """Check that nobody has stopped the portal, and that nothing waits for a person.

        Raises:
            RestoreStopped: it must not be called now; the message says why.
        """
        state = await read_state(self.redis, self.portal.name)
        if stop := _stop_in(state, self.portal.name):
            which = f"portal {stop.portal}" if stop.portal else "all portals"
            raise RestoreStopped(f"{which} stopped by {stop.by} at {stop.at}; `crm-sweep start` lets calls go on")
        if state.fault:
            raise PortalRefuses(_in_words(self.portal.name, state.fault.reason, state.fault.message))

    async def once(self, make: Callable[[], Awaitable[T | Failure]]) -> T | Failure:
        """Make a call that has its turn, and spare the portal after a failure.

        Raises:
            PortalRefuses: a person must act before any other call.
            LeaseLost: it was not sent, because the lease has lapsed.
        """
        started_s = time.monotonic()
        answer = await make()
        if not isinstance(answer, Failure):
            self.answered += 1
            self.answered_s += time.monotonic() - started_s
            self._push_back.calm()
            return answer
        if not await self.may_send():
            raise LeaseLost
        await self._spare(self._push_back.after(answer, started_s))
        if answer.action is Remedy.STOP:
            raise PortalRefuses(_in_words(self.portal.name, answer.reason, answer.message))
        return answer

    async def insist(self, make: Callable[[], Awaitable[T | Failure]]) -> T | Failure:
        """Make a call that can be repeated without harm until it succeeds, is refused, or has failed too often.

        Raises:
            PortalRefuses: the portal cannot be reached, or a person must act.
        """
        attempts = throttled = 0
        while True:
            await self.turn()
            answer = await self.once(make)
            if not isinstance(answer, Failure):
                return answer
            if answer.action in {Remedy.SLOW_DOWN, Remedy.WAIT}:
                throttled += 1
            else:
                attempts += 1
            if attempts >= self.portal.max_attempts or throttled >= _MOST_THROTTLED or answer.action is Remedy.SPLIT:
                self.give_up_if_away(answer)
                return answer
            await self.pause(answer, attempts)

    async def must(self, make: Callable[[], Awaitable[T | Refusal | Failure]]) -> T:
        """Like `insist`, for calls without whose answer the restore cannot go on.

        Raises:
            PortalRefuses: there is no answer.
        """
        answer: T | Refusal | Failure = await self.insist(make)
        if isinstance(answer, Refusal):
            raise PortalRefuses(f"portal {self.portal.name} refuses a call (HTTP {answer.http_status})")
        if isinstance(answer, Failure):
            raise PortalRefuses(_in_words(self.portal.name, answer.reason, answer.message))
        return answer

    async def optional(self, target: str) -> Said | None:
        """Read something that some portals do not have; None if this one does not.

        Raises:
            PortalRefuses: the portal does not say.
        """

        async def read() -> Said | Refusal | Failure:
            answer = await self.client.read(target, may_send=self.may_send)
            absent = isinstance(answer, Failure) and answer.http_status in {404, 405}
            return Refusal(404, "no such call") if absent else answer

        answer = await self.insist(read)
        if isinstance(answer, Failure):
            raise PortalRefuses(_in_words(self.portal.name, answer.reason, answer.message))
        return answer if isinstance(answer, Said) else None

    def give_up_if_away(self, failure: Failure) -> None:
        """Give up the restore, rather than a contact, if the portal cannot be reached or asks for less for too long.

        Raises:
            PortalRefuses: that is so.
        """
        if not failure.sent or failure.action in {Remedy.SLOW_DOWN, Remedy.WAIT}:
            raise PortalRefuses(_in_words(self.portal.name, failure.reason, failure.message))

    async def pause(self, failure: Failure, attempts: int) -> None:
        """Wait before the next attempt; where the portal rests, the wait for the turn is the longer one."""
        if failure.action is Remedy.RETRY:
            wait_s = self.portal.backoff_base_s * 2.0 ** min(max(attempts - 1, 0), 64)
            await asyncio.sleep(min(wait_s, self.portal.backoff_max_s))

    async def _spare(self, relief: Relief) -> None:
        if not relief.slow_down and not relief.rest:
            return
        rest = relief.rest
        arguments = [
            self.terms.requests_per_second,
            int(relief.slow_down),
            round(rest.wait_s * 1000) if rest else 0,
            rest.reason if rest else "",
            round((rest.asked_s or 0) * 1000) if rest else 0,
        ]
        await SPARE(self.redis, [keys.portal(self.portal.name)], arguments)

    def _on_wait(self, wait_s: float) -> None:
        if self.stopping.is_set() and wait_s > _TOO_LONG_S:
            raise RestoreStopped(f"portal {self.portal.name} takes no call for a while")
        self.tell_wait(wait_s)


async def read_state(redis: Redis, portal: str) -> PortalState:
    """Read what drives and holds a portal."""
    pipe = redis.pipeline(transaction=False)
    Clocks.ask(pipe)
    PortalState.ask(pipe, portal)
    replies = iter(await pipe.execute())
    clocks = Clocks.take(replies)
    return PortalState.take(replies, clocks)


def _stop_in(state: PortalState, portal: str) -> Stop | None:
    if state.stop_of_all:
        return stop_of(None, state.stop_of_all)
    return stop_of(portal, state.stop) if state.stop else None


def _in_words(portal: str, reason: str, message: str) -> str:
    said = f"portal {portal}: {reason}: {message}"
    # What the message says to do is more to the point than what its reason says.
    if ";" not in message and (to_do := remedy_without_job(reason)):
        return f"{said}; {to_do}"
    return said
