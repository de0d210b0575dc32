"""Webhooks as users of the command line meet them."""

import asyncio
import json
from typing import Any

import simulator
from simulator import World
from tests.support.home import Home, Result
from tests.support.webhooks import SECRET, answering, receiving


def table(url: str, name: str = "chat", **more: Any) -> str:
    settings = {"url": url, "name": name, "secret_file": "secret", **more}
    return "\n".join(["[[webhooks]]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())])


def configure(home: Home, *tables: str, portal: str = "http://127.0.0.1:9") -> None:
    home.write("secret", f"{SECRET}\n")
    home.configure(more="\n".join(tables), main={"url": portal, "approval_above": 1})


async def cli(home: Home, *args: str) -> Result:
    return await asyncio.to_thread(home.cli, *args)


async def test_a_test_event_arrives_signed(home: Home) -> None:
    async with receiving() as receiver:
        configure(home, table(receiver.url))
        sent = await cli(home, "webhooks", "test", "chat")
        assert (sent.code, sent.stderr) == (0, "")
        assert sent.stdout.startswith("webhook chat (127.0.0.1) took the test event: 204 within ")
        assert receiver.types == ["webhook.test"]


async def test_a_receiver_that_refuses_or_is_away_is_told_in_one_line(home: Home) -> None:
    async with receiving(answering(403)) as receiver:
        configure(home, table(receiver.url), table("http://127.0.0.1:9/services/T000", "away"))
        refused = await cli(home, "webhooks", "test", "chat", "--json")
        assert (refused.code, json.loads(refused.stdout)["status"]) == (5, 403)
        assert "did not take the test event: it answered 403; correct its url" in refused.stderr
        away = await cli(home, "webhooks", "test", "away")
        assert away.code == 5
        assert "it cannot be reached" in away.stderr
        assert "T000" not in away.stderr


async def test_a_webhook_that_is_not_there_is_told_from_bad_usage(home: Home) -> None:
    configure(home, table("http://127.0.0.1:9/services/T000"))
    unknown = await cli(home, "webhooks", "test", "nobody")
    assert unknown.code == 4
    assert "no webhook named 'nobody' is configured (configured: chat)" in unknown.stderr
    assert (await cli(home, "webhooks", "test")).code == 2


async def test_the_list_shows_what_waits_even_if_no_worker_has_run(home: Home) -> None:
    configure(home, table("https://hooks.example.com/services/T000", events=["job.awaiting_approval"]))
    await asyncio.to_thread(home.submit, "main", 1, 2, 3)
    shown = await cli(home, "webhooks")
    assert shown.stdout.splitlines()[1].split()[:3] == ["chat", "hooks.example.com", "1"]
    [view] = json.loads((await cli(home, "webhooks", "--json")).stdout)["webhooks"]
    assert (view["waiting"], view["deliveries"], view["events"]) == (1, [], ["job.awaiting_approval"])
    assert "T000" not in shown.stdout + json.dumps(view)


async def test_check_looks_at_the_configuration_and_sends_nothing(home: Home) -> None:
    async with receiving() as receiver:
        configure(home, table(receiver.url, events=["job.failed"], portals=["main"]))
        checked = await cli(home, "check")
        assert "webhook chat: job.failed of main go to 127.0.0.1" in checked.stdout
        assert receiver.received == []
    (home.directory / "secret").unlink()
    refused = await cli(home, "check")
    assert refused.code == 2
    assert "webhooks[0].secret_file" in refused.stdout


async def test_run_tells_webhooks_before_it_ends(home: Home) -> None:
    async with simulator.running(World(50)) as portal, receiving() as receiver:
        configure(home, table(receiver.url), portal=portal.url)
        home.ids(*range(1, 21))
        done = await cli(home, "run", "ids.txt", "--portal", "main", "--yes")
        assert done.code == 0, done.stderr
        assert receiver.types[-2:] == ["job.started", "job.completed"]
        assert "webhook" not in done.stderr


async def test_run_does_not_wait_for_a_receiver_that_is_away(home: Home) -> None:
    async with simulator.running(World(50)) as portal:
        configure(home, table("http://127.0.0.1:9/"), portal=portal.url)
        home.ids(*range(1, 21))
        done = await cli(home, "run", "ids.txt", "--portal", "main", "--yes")
        assert done.code == 0, done.stderr
        assert "could not be delivered to webhooks; the next run here tries again, for a day" in done.stderr
