"""A portal with log-in: it checks a password and issues tokens."""

import asyncio
import json

from tests.support.raw_portal import Request, answer, delete_all, error, listing

PASSWORD = "correct horse: battery ü"
CREDENTIALS = {"username": "admin@example.com", "password": PASSWORD}
WRONG = error(500, "User authentication failed", -2146233087)


class Office:
    """A portal that issues numbered tokens and accepts those that it has not revoked."""

    def __init__(self) -> None:
        self.logins = 0
        self.revoked: set[str] = set()
        self.password = PASSWORD
        self.factor: str | None = None
        self.locked = False
        self.logging_in = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.target == "/api/2.0/authentication":
            self.logins += 1
            self.logging_in.set()
            await self.may_finish.wait()
            await self._log_in(request, writer)
            return
        token = request.headers["authorization"]
        if not token.startswith("token-") or token in self.revoked:
            await answer(401, "Unauthorized", {"Content-Type": "text/html"})(request, writer)
        elif request.method == "PUT":
            await delete_all(request, writer)
        else:
            await answer(200, listing([]))(request, writer)

    async def _log_in(self, request: Request, writer: asyncio.StreamWriter) -> None:
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/json"
        given = json.loads(request.body)
        if self.locked:
            await error(500, "Login Fail. Too many attempts", -2146233087)(request, writer)
        elif given != {"userName": "admin@example.com", "password": self.password}:
            await WRONG(request, writer)
        else:
            response: dict[str, object] = {"token": f"token-{self.logins}", "expires": "2099-01-01T00:00:00.0000000Z"}
            if self.factor is not None:
                response = {"token": None, self.factor: True}
            body = {"count": 1, "status": 0, "statusCode": 201, "response": response}
            await answer(201, body)(request, writer)
