"""Callers of the API: they submit lists, approve plans, cancel some, and look again and again."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from chaos.hosts.plan import API_KEY, PORTAL, Submission
from chaos.hosts.promises import Promise, now_s

#: There is always this much to do, contacts.
_BACKLOG = 800
_LOOK_EVERY_S = 0.3
_AGAIN_AFTER_S = 0.3
_ANSWERS_WITHIN_S = 6.0


class Clients:
    """Calls the API, and remembers what it has promised.

    Args:
        session: with the API's address as its base.
        submissions: the lists, in order.
        chance: decides how lists are sent.
    """

    def __init__(self, session: aiohttp.ClientSession, submissions: Iterator[Submission], chance: random.Random):
        self._session = session
        self._submissions = submissions
        self._chance = chance
        self.promises: dict[str, Promise] = {}
        self.is_closing = False
        """Whether nothing new is submitted any more."""
        self.unanswered = 0
        """Calls without an answer, or with one that says that Redis is away."""
        self.answers = 0
        self.refused_approvals = 0
        """Approvals with a wrong digest, which were refused."""
        self.moved_s = time.monotonic()
        """When anything was last seen to change, on the monotonic clock."""

    @property
    def open(self) -> list[Promise]:
        """Promises whose jobs have not ended."""
        return [promise for promise in self.promises.values() if not promise.ended]

    @property
    def all_ended(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.is_closing and not self.open

    @property
    def problems(self) -> list[str]:
        """Every promise that did not stand."""
        return [problem for promise in self.promises.values() for problem in promise.problems]

    async def run(self) -> None:
        """Submit and look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_submitting())
            group.create_task(self._keep_looking())

    async def _keep_submitting(self) -> None:
        for submission in self._submissions:
            while not self.is_closing and sum(promise.pending for promise in self.open) >= _BACKLOG:  # noqa: ASYNC110
                await asyncio.sleep(_AGAIN_AFTER_S)
            if self.is_closing:
                return
            promise = self.promises[submission.job_id] = Promise(submission)
            while promise.accepted_s is None:  # without an answer it is sent again: the ID makes that safe
                await self._submit(promise)

    async def _submit(self, promise: Promise) -> None:
        submission = promise.submission
        path = f"/v1/jobs?portal={PORTAL}&id={submission.job_id}"
        if submission.planned or self._chance.random() < 0.5:
            document = {"portal": PORTAL, "id": submission.job_id, "contact_ids": list(submission.ids)}
            body = msgspec.json.encode(document | ({"plan": True} if submission.planned else {}))
            answer = await self._call("POST", "/v1/jobs", body, "application/json")
        else:
            answer = await self._call("POST", path, "\n".join(map(str, submission.ids)).encode(), "text/plain")
        if answer and answer[0] in (200, 202):
            promise.accepted_s = now_s()
            self.moved_s = time.monotonic()
        elif answer:
            promise.problems.append(f"job {promise.job_id} was refused with {answer[0]}: {answer[1]}")
            promise.accepted_s = now_s()
        else:
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def _keep_looking(self) -> None:
        while True:
            for promise in self.open:
                await self.look(promise)
                await self._move(promise)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self, promise: Promise) -> bool:
        """Look at a job; return whether there was an answer."""
        asked_s, before = now_s(), promise.progress
        answer = await self._call("GET", f"/v1/jobs/{promise.job_id}")
        if answer and answer[0] in (200, 404):
            promise.kept(asked_s, answer[1] if answer[0] == 200 else None)
            if promise.progress != before:
                self.moved_s = time.monotonic()
        return answer is not None

    async def _move(self, promise: Promise) -> None:
        """Do what a user would: approve the plan, cancel the job, or resume it."""
        job = promise.job
        if job is None or promise.ended:
            return
        if job["state"] == "awaiting_approval":
            await self._approve(promise, job["plan"]["digest"])
        elif job["state"] in {"paused", "pausing"}:
            await self._steer(promise, "resume")
        elif (job["state_reason"] or "").startswith("portal_") and job["state_reason"] != "portal_unreachable":
            # One of the portal's faults has stopped it, and a person has to say that all is well again.
            await self._steer(promise, *(["cancel"] if job["state"] == "cancelling" else ["pause", "resume"]))
        elif promise.submission.cancelled and promise.cancelled_s is None and job["progress"] > 0:
            promise.asked_to_cancel = True
            if await self._steer(promise, "cancel") == 200:
                promise.cancelled_s = now_s()

    async def _steer(self, promise: Promise, *moves: str) -> int | None:
        """Move a job; return the status of the last answer, or None if there was none."""
        answer = None
        for move in moves:
            answer = await self._call("POST", f"/v1/jobs/{promise.job_id}/{move}", b"{}")
        return answer and answer[0]

    async def _approve(self, promise: Promise, digest: str) -> None:
        is_wrong = self._chance.random() < 0.2
        body = msgspec.json.encode({"digest": digest[::-1] if is_wrong else digest})
        answer = await self._call("POST", f"/v1/jobs/{promise.job_id}/approve", body)
        if answer is None:
            return
        if is_wrong:
            self.refused_approvals += answer[0] == 409
            if answer[0] == 200:
                promise.problems.append(f"job {promise.job_id} was approved with a wrong digest")
        elif answer[0] == 200:
            promise.approved_s = now_s()

    async def _call(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, Any] | None:
        """Return status and body of an answer; None without one, or if it says to try again later."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            headers = {"Content-Type": kind} if body is not None else {}
            async with self._session.request(method, path, data=body, headers=headers) as answer:
                content = await answer.read()
                if answer.status < 500:
                    self.answers += 1
                    return answer.status, msgspec.json.decode(content)
        self.unanswered += 1
        return None


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session with the API."""
    timeout = aiohttp.ClientTimeout(total=_ANSWERS_WITHIN_S)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with aiohttp.ClientSession(url, timeout=timeout, headers=headers) as session:
        yield session
