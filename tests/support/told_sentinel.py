"""A Sentinel that says what a test wants it to say."""

import asyncio
from typing import TypeAlias

from redis.exceptions import RedisError

from config.redis_url import Endpoint
from jobs.store.sentinel import Named, Sentinel

Answer: TypeAlias = Named | RedisError | OSError


class Told(Sentinel):
    """Gives this answer, or raises it, until it is given another one."""

    def __init__(self, number: int, answer: Answer) -> None:
        self.at = Endpoint("sentinel", 26379 + number)
        self.rests_until_s = float("-inf")
        self.answer = answer
        self.asked = 0

    async def ask(self) -> Named:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Named):
            return self.answer
        raise self.answer

    async def close(self) -> None:
        pass
