"""The simulated portal as a process of its own."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.request import urlopen

import pytest

from simulator.__main__ import parse


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert started.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = (await started.stdout.readline()).decode()
        yield started, line
    finally:
        if started.returncode is None:
            started.kill()
            await started.communicate()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_says_one_line_when_ready_and_stops_cleanly(stop: signal.Signals) -> None:
    arguments = ["--contacts", "500", "--read-only", "10", "--missing", "20", "--base-ms", "1", "--set", "gzip=true"]
    async with process(*arguments) as (running, line):
        assert line.startswith("listening on http://127.0.0.1:")
        url = line.split()[-1]
        with await asyncio.to_thread(urlopen, f"{url}/truth/summary") as answer:
            assert json.load(answer)["existed"] == 480
        with await asyncio.to_thread(urlopen, f"{url}/truth/behaviour") as answer:
            told = json.load(answer)
            assert (told["base_ms"], told["gzip"]) == (1.0, True)
        running.send_signal(stop)
        async with asyncio.timeout(20):
            rest, errors = await running.communicate()
        assert (running.returncode, rest, errors) == (0, b"", b"")


async def test_stops_although_a_call_is_in_flight() -> None:
    async with process("--contacts", "5", "--base-ms", "600000") as (running, line):
        host, port = line.split("//")[1].strip().split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/2.0/capabilities HTTP/1.1\r\nHost: portal\r\n\r\n")
        with await asyncio.to_thread(urlopen, f"http://{host}:{port}/truth/wait?arrived=1") as answer:
            assert json.load(answer)["in_flight"] == 1
        running.terminate()
        async with asyncio.timeout(20):
            rest, errors = await running.communicate()
        assert (running.returncode, rest, errors) == (0, b"", b"")
        writer.close()


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async with process("--contacts", "1") as (_, line):
        port = line.strip().rsplit(":", 1)[1]
        async with process("--port", port) as (second, nothing):
            assert nothing == ""
            async with asyncio.timeout(20):
                _, errors = await second.communicate()
            assert second.returncode == 1
            assert errors.decode().startswith(f"cannot listen on 127.0.0.1:{port}: ")
            assert errors.count(b"\n") == 1


def test_parses_every_kind_of_option() -> None:
    options = parse(
        [
            *("--contacts", "50", "--invisible", "3", "--poisoned", "2", "--concurrency", "8", "--seed", "5"),
            *("--fault", '{"fault": "throttle", "rate": 0.5}', "--set", "second_factor=tfa", "--set", "password=123"),
            *("--set", "capacity-changes=[[60, 2]]", "--token", "t", "--truth-port", "0"),
        ]
    )
    assert (len(options.world.alive), len(options.world.invisible), len(options.world.poisoned)) == (50, 3, 2)
    assert (options.behaviour.concurrency, options.behaviour.seed, options.behaviour.token) == (8, 5, "t")
    assert (options.behaviour.second_factor, options.behaviour.capacity_changes) == ("tfa", [(60.0, 2.0)])
    assert options.behaviour.password == "123"
    assert [fault.fault for fault in options.faults] == ["throttle"]
    assert (options.port, options.truth_port) == (0, 0)


def test_parses_what_contacts_are_like() -> None:
    options = parse(
        [
            *("--contacts", "50", "--companies", "7", "--no-email", "5", "--tag", "trash=20", "--tag", "a=b=3"),
            *("--set", "edits_per_s=20", "--set", 'edit-kinds=["tag"]', "--set", 'edit_tags=["trash"]'),
        ]
    )
    assert (len(options.world.select(view="company")), len(options.world.select(without_email=True))) == (7, 5)
    assert (len(options.world.select(tags=["trash"])), len(options.world.select(tags=["a=b"]))) == (20, 3)
    behaviour = options.behaviour
    assert (behaviour.edits_per_s, behaviour.edit_kinds, behaviour.edit_tags) == (20, ["tag"], ["trash"])
    assert list(parse(["--contacts", "9", "--employed"]).world.persons_of(3)) == [4, 5, 6, 7]
    assert parse(["--contacts", "90", "--varied"]).world.profile.private
    assert not parse(["--contacts", "90"]).world.profile.private


@pytest.mark.parametrize(
    "arguments",
    [
        ["--contacts", "-1"],
        ["--contacts", "5", "--read-only", "6"],
        ["--base-ms", "-3"],
        ["--tag", "trash"],
        ["--tag", "=3"],
        ["--tag", "trash=many"],
        ["--tag", "trash=1", "--tag", "trash=2"],
        ["--tag", "trash=1", "--tag", "Trash=2"],
        ["--contacts", "5", "--tag", "trash=6"],
        ["--companies", "3", "--employed"],
        ["--set", 'edit_kinds=["paint"]'],
        ["--set", "utc_offset_minutes=1440"],
        ["--set", "warp=9"],
        ["--set", "warp"],
        ["--fault", "{}"],
        ["--fault", '{"fault": "flood"}'],
        ["--unknown"],
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_help_names_units_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--help"], prog="crm-sweep simulator")
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: crm-sweep simulator")
    assert "milliseconds" in said
    assert '{"fault": "error", "when": "after", "rate": 0.1}' in said
    assert all(name in said for name in ("gateway_timeout", "look_up", "create_person", "call_numbers", "write_ms"))
