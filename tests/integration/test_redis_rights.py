"""The rights in docs/operations.md are what the program needs: a campaign runs with them and uses each of them."""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from config.settings import Api as ApiConfig
from config.settings import Portal, RedisConfig, Settings, WorkerConfig
from jobs.ledger.retention import forget_old_jobs
from jobs.store.connection import connect
from jobs.store.replication import Replication
from jobs.view.job import list_jobs, read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from simulator import World
from tests.support.browsing import Person, api_key
from tests.support.bundles import KEY_FILE, PUBLIC_KEY
from tests.support.documents import ROOT
from tests.support.home import Home
from tests.support.lanes import lapse, start_lane, take, terms
from tests.support.plain_redis import plain_redis
from tests.support.scheduling import schedule
from tests.support.serving import Api, serving
from tests.support.sweeping import EAGER, MARKS, check_against_truth, ended, portal_settings
from worker import fleet
from worker.main import working
from worker.token_store import RedisTokenStore

pytestmark = [*MARKS, pytest.mark.timeout(240)]

DOCUMENTED = (ROOT / "docs" / "operations.md").read_text()
PASSWORD = "sweeper-password"

#: Here, the program uses a database of its own, so that the server's monitor tells its commands from the test's.
DATABASE = 1


def documented_rights() -> list[str]:
    """Return the words of the documented line, after the user's name."""
    line = DOCUMENTED.partition("$ valkey-cli ACL SETUSER crm-sweep ")[2].partition("\n```")[0]
    return [word.replace(">PASSWORD", f">{PASSWORD}") for word in shlex.split(line.replace("\\\n", " "))]


RIGHTS = [word for word in documented_rights() if word[0] in "+~&"]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "redis", fsync="no") as server:
        yield server


@pytest.fixture
async def admin(own_server: EmbeddedServer) -> AsyncIterator[ArqRedis]:
    redis = connect(own_server.url, patience_s=0)
    await redis.execute_command("ACL", "SETUSER", "crm-sweep", *documented_rights())
    yield redis
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def url(own_server: EmbeddedServer) -> RedisUrl:
    return RedisUrl(f"unix://crm-sweep:{PASSWORD}@{own_server.url.address.socket_path}?db={DATABASE}")


@dataclass
class Monitor:
    """Everything that the server was told to do in the program's database, including by scripts."""

    commands: set[tuple[str, ...]] = field(default_factory=set)
    _task: "asyncio.Task[None] | None" = None

    async def listen(self, server: EmbeddedServer) -> None:
        reader, writer = await asyncio.open_unix_connection(server.url.address.socket_path, limit=1 << 26)
        writer.write(b"MONITOR\r\n")
        assert await reader.readline() == b"+OK\r\n"

        async def read() -> None:
            try:
                while line := (await reader.readline()).decode():
                    if match := re.match(rf"\+[\d.]+ \[{DATABASE} [^\]]*\] ", line):
                        words = re.findall(r'"((?:[^"\\]|\\.)*)"', line[match.end() :])
                        self.commands.add((words[0].lower(), *words[1:]))
            finally:
                writer.close()

        self._task = asyncio.create_task(read())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def settings_of(url: RedisUrl, portal: simulator.Portal, directory: Path) -> Settings:
    (directory / "undo").mkdir()
    login = {"token": None, "username": "admin@example.com", "password": "simulator-password"}
    limits = {"max_attempts": 1, "failure_threshold": 1.0, "approval_above": 900, "max_concurrency": 2}
    undo = {"undo": "optional", "undo_store": str(directory / "undo"), "undo_recipients": (PUBLIC_KEY,)}
    sweeping = portal_settings(portal, **login, **limits, **undo)
    other = Portal.model_validate({"name": "other", "url": portal.url, "token": "simulator-token"})
    return Settings(
        redis=RedisConfig(url=url),
        portals={"main": sweeping, "other": other},
        worker=WorkerConfig(**EAGER),
        api=ApiConfig(keys=(api_key("anna"),)),
        schedules=(schedule(filter={"tags": ["nobody"]}),),
    )


async def command(directory: Path, *arguments: str) -> str:
    """Run a command of the program in a process of its own, and return its standard output."""
    result = await asyncio.to_thread(Home(directory, "").cli, *arguments)
    assert result.code in {0, 3}, (arguments, result)
    return result.stdout


async def done(api: Api, method: str, path: str, **options: Any) -> Any:
    """Send a request that must succeed, and return its JSON."""
    async with api.client.request(method, path, **options) as answer:
        assert answer.ok, (method, path, await answer.text())
        return await answer.json()


async def as_services_do(redis: ArqRedis, settings: Settings) -> None:
    """Submit jobs over HTTP, from the page and with plain arq; steer them before and after a worker has taken them."""
    async with serving(settings, redis, key="anna-secret-key") as api:
        await done(api, "GET", "/readyz")
        body = {"portal": "main", "contact_ids": list(range(301, 401)), "label": "by http"}
        await done(api, "POST", "/v1/jobs", json={**body, "id": "by-http"})
        await done(api, "POST", "/v1/jobs", json={**body, "id": "by-http"})
        for verb in ("pause", "resume"):
            await done(api, "POST", f"/v1/jobs/by-http/{verb}")
        await done(api, "PATCH", "/v1/jobs/by-http", json={"priority": "urgent"})
        await done(api, "PATCH", "/v1/portals/main", json={"requests_per_second": 900})
        for path in ("/v1/jobs", "/v1/jobs?state=queued", "/v1/portals", "/v1/jobs/by-http/why"):
            await done(api, "GET", path)
        async with api.client.get("/metrics") as answer:
            assert "crm_sweep_redis_up 1" in await answer.text()
        for name, ids in (("by-arq", [401, 402]), ("by-arq", [401, 402]), ("steered", [403]), ("bad", ["x"])):
            await redis.enqueue_job("delete_contacts", _job_id=name, portal="main", contact_ids=ids)
        assert (await done(api, "GET", "/v1/jobs/by-arq"))["state_reason"] == "no_worker"
        await done(api, "POST", "/v1/jobs/steered/cancel")
        await on_the_page(api)


async def on_the_page(api: Api) -> None:
    async with aiohttp.ClientSession(api.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        person = Person(api.url, client)
        await person.log_in("anna")
        for confirmation in ({"count": "3", "do": "submit"}, {"do": "discard"}):
            draft = await person.upload("405\n406\n407\n")
            assert (await person.look(draft.location)).status == 200
            assert (await person.send(draft.location, **confirmation)).status == 303
        assert (await person.send("/logout")).status == 303


async def as_lanes_that_die(redis: ArqRedis) -> None:
    """Let a lane take a batch and never be heard of again, and another one give up its lease."""
    dead, tidy = await start_lane(redis, "dead"), await start_lane(redis, "tidy")
    await take(dead, terms(batch_size=5))
    assert await dead.renew()
    await tidy.release()
    await lapse(redis, "dead")


async def as_processes_that_wait_for_each_other(redis: ArqRedis) -> None:
    """Wait for replicas to have a write, and for word from other processes."""
    wanted = Replication(min_replicas=1, timeout_s=0.01)
    async with redis.pipeline(transaction=False) as pipe:
        wanted.ask(pipe)
        assert not wanted.take(await pipe.execute())
    async with redis.pubsub() as listener:
        await listener.subscribe("crm-sweep:rights")
        await redis.publish("crm-sweep:rights", "here")
        while (await listener.get_message(timeout=10))["type"] != "message":
            pass
        await listener.unsubscribe("crm-sweep:rights")


async def as_workers_that_log_in(redis: ArqRedis) -> None:
    """Do what happens around a log-in that is refused, or that another worker does."""
    store = RedisTokenStore(redis, "spare")
    assert await store.begin_login(b"me")
    assert not await store.begin_login(b"you")
    await store.keep_login(b"me")
    await store.end_login(b"me")
    for number in range(4):
        await store.count_attempt(b"%d" % number)
    await store.give_back(b"0")
    await store.remember_refusal("f", "wrong_password", 60)
    assert await store.recall_refusal("f")
    await store.save(b"sealed", 60)
    await store.forget(b"sealed")


async def plan_and_approve(directory: Path) -> None:
    """Make a plan of a filter, have it carried out while a stop comes and goes, and restore what it has deleted."""
    wanted = "--portal", "main", "--tag", "trash"
    await command(directory, "plan", *wanted, "--dry-run")
    plan = json.loads(await command(directory, "plan", *wanted, "--id", "planned", "--undo", "--json"))["plan"]
    await command(directory, "stop")
    await command(directory, "approve", "planned", "--digest", plan["digest"])
    await command(directory, "start")
    await command(directory, "watch", "planned")
    assert (await command(directory, "results", "planned", "--against-plan")).count("\n") == 1
    (directory / "key.txt").write_text(KEY_FILE)
    await command(directory, "restore", "planned", "--identity", "key.txt", "--yes")


async def a_campaign(url: RedisUrl, directory: Path) -> None:
    """Do everything that the program does with Redis, from outside where that is possible."""
    redis = connect(url, patience_s=0)
    world = World(1000, read_only=10, poisoned=[50], missing=10, tagged={"trash": range(951, 991)})
    async with simulator.running(world) as portal:
        settings = settings_of(url, portal, directory)
        (directory / "crm-sweep.toml").write_text(
            f'[redis]\nurl = "{url.get_secret_value()}"\n[portals.main]\nurl = "{portal.url}"\n'
            'token = "simulator-token"\napproval_above = 900\n'
            f'undo = "optional"\nundo_store = "{directory / "undo"}"\nundo_recipients = ["{PUBLIC_KEY}"]\n'
            '[[schedules]]\nname = "daily"\nportal = "main"\nfilter = {tags = ["nobody"]}\ncron = "0 12 * * *"\n'
        )
        (directory / "ids.txt").write_text("".join(f"{n}\n" for n in range(1, 301)))
        (directory / "large.txt").write_text("".join(f"{n}\n" for n in range(1, 951)))
        await command(directory, "check")
        await command(directory, "submit", "ids.txt", "--portal", "main", "--id", "by-command")
        await command(directory, "submit", "large.txt", "--portal", "main", "--id", "approved", "--yes")
        await command(directory, "approve", "approved")
        await command(directory, "cancel", "approved")
        await as_lanes_that_die(redis)
        await as_services_do(redis, settings)
        await as_workers_that_log_in(redis)
        await as_processes_that_wait_for_each_other(redis)
        portal.faults.rules += [
            simulator.Fault(fault="throttle", next_calls=1, retry_after_s=0),
            simulator.Fault(fault="error", when="after", next_calls=1),
        ]
        async with working(settings):
            await command(directory, "watch", "by-command")
            for job_id in ("by-command", "by-http", "by-arq", "steered", "approved", "bad"):
                await ended(redis, job_id)
            assert (await read_job(redis, "by-command")).counts[Outcome.FAILED]
            world.poisoned.clear()
            await command(directory, "retry-failed", "by-command")
            await ended(redis, "by-command")
            await plan_and_approve(directory)
            await ended(redis, (await command(directory, "schedules", "run", "daily")).strip())
            async with serving(settings, redis, key="anna-secret-key") as api:
                async with api.client.get("/v1/jobs/by-http/events") as stream:
                    while b"completed" not in await stream.content.readuntil(b"\n\n"):
                        pass
                await api.json("GET", "/readyz")
        for arguments in (["status"], ["why"], ["results"]):
            await command(directory, *arguments, "by-command")
        for arguments in (["list"], ["portals"], ["limits", "main", "--requests-per-second", "800"], ["check"]):
            await command(directory, *arguments)
        swept = [job.id for job in (await list_jobs(redis)).jobs if job.state is State.COMPLETED]
        assert len(swept) == 6  # including that of the page, and the empty one of the schedule
        await check_against_truth(redis, portal, *swept)
    gone = await forget_old_jobs(redis, 0.0)
    assert {"by-command", "by-http", "by-arq", "bad"} <= set(gone)
    await redis.aclose(close_connection_pool=True)


async def test_a_campaign_needs_these_rights_and_no_others(
    own_server: EmbeddedServer, admin: ArqRedis, url: RedisUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "RESCUE_SETTLE_S", 0.1)  # the lane that died had made no call
    monitor = Monitor()
    await monitor.listen(own_server)
    await admin.config_resetstat()
    await a_campaign(url, tmp_path)
    await monitor.stop()
    assert await admin.execute_command("ACL", "LOG") == []
    stats = await admin.info("commandstats")
    called = {name.removeprefix("cmdstat_") for name, stat in stats.items() if stat["calls"]}
    granted = {right[1:] for right in RIGHTS if right[0] == "+"}
    if int((await admin.info("server"))["redis_version"].split(".")[0]) < 7:
        # Redis 6 does not count subcommands, and cannot be asked what a user is allowed to do.
        assert {right.partition("|")[0] for right in granted} <= called
        return
    assert granted <= called, "rights that are never used"
    commands = sorted(monitor.commands | {("config", "get", "maxmemory")}, key=lambda words: (len(words), words))
    assert await refused(admin, commands) == []
    for right in RIGHTS:
        if right[0] == "+":
            await admin.execute_command("ACL", "SETUSER", "crm-sweep", f"-{right[1:]}")
            concerned = [words for words in commands if right[1:] in {words[0], "|".join(words[:2]).lower()}]
        elif right[0] == "&":
            await admin.execute_command("ACL", "SETUSER", "crm-sweep", "resetchannels")
            concerned = commands
        else:
            await admin.execute_command("ACL", "SETUSER", "crm-sweep", "resetkeys", *set(PATTERNS) - {right})
            concerned = commands
        assert await refused(admin, concerned), f"nothing needs {right}"
        await admin.execute_command("ACL", "SETUSER", "crm-sweep", *documented_rights())


PATTERNS = [right for right in RIGHTS if right[0] == "~"]


async def refused(admin: ArqRedis, commands: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return what was done that the user would not be allowed to do."""
    pipe = admin.pipeline(transaction=False)
    for words in commands:
        pipe.execute_command("ACL", "DRYRUN", "crm-sweep", *words)
    return [words for words, told in zip(commands, await pipe.execute(), strict=True) if told != b"OK"]


def test_every_command_of_the_scripts_is_among_them() -> None:
    scripts = [path.read_text() for package in ("jobs", "worker") for path in (ROOT / package).rglob("*.lua")]
    called = {name.lower() for text in scripts for name in re.findall(r"redis\.p?call\('(\w+)'", text)}
    assert {f"+{name}" for name in called} <= set(RIGHTS)


@pytest.mark.parametrize("right", ["+hset", "+evalsha", "+rename", "+zadd", "+psetex", "+wait", "~arq:*"])
async def test_a_right_that_is_missing_is_named(admin: ArqRedis, url: RedisUrl, tmp_path: Path, right: str) -> None:
    rights = [word for word in documented_rights() if word != right]
    await admin.execute_command("ACL", "SETUSER", "crm-sweep", *rights)
    (tmp_path / "crm-sweep.toml").write_text(f'[redis]\nurl = "{url.get_secret_value()}"\nmin_replicas = 1\n')
    result = await asyncio.to_thread(Home(tmp_path, "").cli, "check")
    named = {"~": "to use a key that it needs", "+": f"to run {right[1:].upper()}"}[right[0]]
    assert result.code == 5
    said = " ".join(result.stdout.split()).partition("Redis does not grant this user a right that is needed: ")[2]
    # Servers before Redis 7.2 do not say which command of a script it was.
    assert said.startswith((named, "to run a command of a script (the server's ACL LOG names it)")), result
    assert PASSWORD not in result.stdout


async def test_a_service_that_uses_plain_arq_needs_less(admin: ArqRedis, url: RedisUrl, tmp_path: Path) -> None:
    said = " ".join(DOCUMENTED.split()).partition("needs no more than ")[2].partition("to wait for the answer")[0]
    rights = [word.strip("`'") for word in re.findall(r"['~+][^ `]+", said)]
    await admin.execute_command("ACL", "SETUSER", "sender", "reset", "on", f">{PASSWORD}", "+select", *rights)
    sender = plain_redis(RedisUrl(url.get_secret_value().replace("//crm-sweep:", "//sender:")))
    async with simulator.running(World(10)) as portal, working(settings_of(url, portal, tmp_path)):
        job = await sender.enqueue_job("delete_contacts", _job_id="by-sender", portal="main", contact_ids=[1, 2])
        assert job is not None
        assert await job.result(timeout=60) == "by-sender"
    await sender.aclose(close_connection_pool=True)
    assert await admin.execute_command("ACL", "LOG") == []
