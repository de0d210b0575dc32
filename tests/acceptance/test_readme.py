"""The commands of the README do what the page says, in its order, in one working directory.

A block that cannot run here says so in a comment before it, `<!-- readme-test: … -->`:

- `file NAME`: its content is written to that file;
- `append NAME`: its content is added to that file;
- `background`: its command runs until the end of the page;
- `terminal TEXT`: its commands run on a terminal, where somebody types TEXT when asked for a number;
- `make`: make targets, which are only looked up (CI runs them anyway), except for the demo's own command;
- `not here (why)`: checked by other tests, or only by readers.
"""

import contextlib
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

from cli.embedded import EmbeddedServer
from tests.support.documents import ROOT, Block, blocks, make
from tests.support.home import PROGRAM, Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

README = ROOT / "README.md"
SHELLS = {"console", "shell", "sh", "bash"}
TIMEOUT_S = 60

#: What varies from run to run, or with the format of digests: a job's ID, a time, a digest's beginning, a number.
_VARYING = (
    "01[0-9A-HJKMNP-TV-Z]{24}",
    r"\d{4}-\d\d-\d\d[T ]\d\d:[\d:.]+Z?",
    r"\brun-[0-9a-f]{16}\b",
    r"\b[0-9a-f]{12}\b",
    r"run-[0-9a-f]{16}",
    r"\d[\d,.]*",
)


def shells(page: Path) -> list[Block]:
    """Return the blocks with commands."""
    return [block for block in blocks(page) if block.language in SHELLS]


def as_pattern(line: str) -> str:
    """Turn a line of shown output into a pattern: numbers, IDs and blanks vary, and … stands for anything."""
    pattern, end = "", 0
    for varying in re.finditer("|".join(_VARYING), line):
        kind = next(kind for kind in _VARYING if re.fullmatch(kind, varying[0]))
        pattern += _literal(line[end : varying.start()]) + kind
        end = varying.end()
    return pattern + _literal(line[end:])


def _literal(text: str) -> str:
    return re.sub(r"(\\ )+", r"\\s+", re.escape(text)).replace("…", ".*")


def assert_shown(shown: Sequence[str], output: str, where: str) -> None:
    """Check that every shown line is in the output, in this order; a line with only … stands for others in between."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    at, may_skip = 0, False
    for line in shown:
        if line.strip() == "…":
            may_skip = True
            continue
        pattern = as_pattern(line.strip())
        while may_skip and at < len(lines) and not re.fullmatch(pattern, lines[at]):
            at += 1
        assert at < len(lines), f"{where}: {line!r} is not in this output:\n{output}"
        assert re.fullmatch(pattern, lines[at]), (
            f"{where}: {line!r} is shown, but the output has {lines[at]!r}\n{output}"
        )
        at, may_skip = at + 1, False
    assert not shown or may_skip or at == len(lines), f"{where}: the output has more than is shown: {lines[at:]}"


@pytest.fixture
def environment(home: Home, portal: MakePortal) -> Iterator[dict[str, str]]:
    """Provide a portal and a Redis in place of those of the page; the page's own files set everything else."""
    _, *rehearsal = rehearsal_command()
    crm = portal(*rehearsal)
    home.write("crm-token", f"{rehearsal[rehearsal.index('--token') + 1]}\n")
    rows = "".join(f"Contact {contact_id},{contact_id},2019-05-01\n" for contact_id in range(1, 813))
    home.write("contacts.csv", f"name,contact_id,last_seen\n{rows}")
    with EmbeddedServer(home.directory / "redis") as server:
        home.redis_url = server.url.get_secret_value()
        yield usual_environment(home) | {
            "CRM_SWEEP_PORTALS__MAIN__URL": crm.url,
            "CRM_SWEEP_REDIS__URL": home.redis_url,
            "CRM_SWEEP_API__PORT": "0",
        }


def usual_environment(home: Home) -> dict[str, str]:
    """Return an environment in which `crm-sweep` and `python` are those of the tests."""
    return home.environment(PATH=f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}")


def rehearsal_command() -> list[str]:
    """Return the words of the command that starts the page's simulated portal, on any free port."""
    [command] = [command for block in shells(README) for command, _ in block.steps() if " simulator " in command]
    assert "--port 8090" in command
    _, *words = command.replace("--port 8090", "--port 0").split()
    return words


def test_the_page_works_from_top_to_bottom(home: Home, environment: dict[str, str]) -> None:
    ran, digest = 0, ""
    for block in blocks(README):
        where = f"README.md, line {block.number}"
        verb, _, name = block.marker.partition(" ")
        if verb == "file":
            content = "\n".join(block.lines) + "\n"
            home.write(name, content.replace("redis://127.0.0.1:6379/0", home.redis_url))
        elif verb == "append":
            file = home.directory / name
            home.write(name, "\n".join([file.read_text(), *block.lines, ""]))
        elif block.language in SHELLS and verb == "background":
            [(command, shown)] = block.steps()
            log = log_of(command.split()[-1], home)
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command.split(), cwd=home.directory, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
            home.running.append(process)
            until(partial(says, log, shown[0].partition("http")[0] if shown else "worker_started"))
        elif block.language in SHELLS and (not block.marker or verb == "terminal"):
            for command, shown in block.steps():
                there = command.replace("http://127.0.0.1:8080", address_of_the_api(home))
                there = re.sub("(?<=--digest )[0-9a-f]{12}", digest, there)
                typed = name if " --plan " in command else None
                printed = run(there, home, environment, typed)
                assert_shown(shown, printed, f"{where}: {command}")
                # A plan covers the portal's address, so its digest is another one here.
                digest = "".join(re.findall("digest ([0-9a-f]{12}),", printed)) or digest
                ran += 1
    assert ran >= 10
    assert len(home.running) == 2, "a worker and the API"
    for running in home.running:
        running.send_signal(signal.SIGTERM)
        assert running.wait(TIMEOUT_S) == 0


def log_of(command: str, home: Home) -> Path:
    """Return the output file of a command in the background."""
    return home.directory / f"{command}.log"


def says(log: Path, text: str) -> bool:
    return text in log.read_text()


def address_of_the_api(home: Home) -> str:
    """Return where the API of the page listens; the page names its usual port."""
    log = log_of("api", home)
    [url] = re.findall(r"listening on (\S+)", log.read_text()) if log.exists() else ["http://127.0.0.1:8080"]
    return str(url)


def test_the_demo_agrees_with_its_portal_shows_what_the_page_shows_and_leaves_nothing(home: Home) -> None:
    [(_, shown)] = [step for block in shells(README) for step in block.steps() if step[0] == "make demo"]
    before = own_processes()
    output = run("crm-sweep demo", home, usual_environment(home) | {"TMPDIR": str(home.directory)})
    assert "agree about all 20,381 contacts" in output
    assert_shown(shown, output, "make demo")
    assert own_processes() == before
    assert [path.name for path in home.directory.iterdir()] == []


def own_processes() -> set[int]:
    """Return the processes that a demo would have started."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_the_rehearsal_has_a_portal(home: Home) -> None:
    log = log_of("simulator", home)
    words = [PROGRAM, *rehearsal_command()]
    with log.open("wb") as output:
        process = subprocess.Popen(words, cwd=home.directory, env=usual_environment(home), stdout=output)
    home.running.append(process)
    until(partial(says, log, "listening on http://127.0.0.1:"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 0


def test_make_targets_exist() -> None:
    targets = [step[0].split() for block in shells(README) if block.marker == "make" for step in block.steps()]
    assert ["make", "demo"] in targets
    for words in targets:
        make(*words[1:], "--dry-run")


def test_every_block_of_commands_is_run_or_says_why_not() -> None:
    for page in (README, ROOT / "docs" / "operations.md", ROOT / "CONTRIBUTING.md"):
        for block in shells(page):
            known = block.marker in {"", "background", "make"} or re.fullmatch(
                r"not here \(.+\)|terminal \d+", block.marker
            )
            assert known, f"{page.name}, line {block.number}: {block.marker}"
            assert page == README or block.marker, f"{page.name}, line {block.number} is not run by any test"
            assert all(command for command, _ in block.steps())


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        (["deleted  10  confirmed"], "deleted 12,345  confirmed"),
        (["…", "total 7"], "one\ntwo\ntotal 8"),
        (["redis: …", "…"], "redis: unix:///x\nmore"),
        (["01M84HK5MX6J754A2MK4V8T787 at 2026-11-23T15:50:46.322Z"], "01M84HK5MX6J754A2MK4V8T788 at 2027-01-02 03:04"),
        ([], "anything"),
    ],
)  # fmt: skip
def test_output_that_differs_only_in_numbers_is_as_shown(shown: list[str], output: str) -> None:
    assert_shown(shown, output, "here")


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        (["deleted 10"], "refused 10"),
        (["one"], "one\ntwo"),
        (["one", "two"], "one"),
        (["…", "three"], "one\ntwo"),
        (["two", "one"], "one\ntwo"),
    ],
)
def test_other_output_is_not_as_shown(shown: list[str], output: str) -> None:
    with pytest.raises(AssertionError, match="here"):
        assert_shown(shown, output, "here")


def run(command: str, home: Home, environment: dict[str, str], typed: str | None = None) -> str:
    """Run a command as a shell does, and return all of its output.

    Args:
        command: the command.
        home: where it runs.
        environment: its environment.
        typed: what is typed when it asks for a number, on a terminal; None to run it without one.
    """
    words = ["/usr/bin/env", "bash", "-c", f"set -euo pipefail; {command}"]
    if typed is not None:
        return run_on_a_terminal(words, home, environment, typed)
    result = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=home.directory,
        env=environment,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout}"
    return result.stdout


def run_on_a_terminal(words: list[str], home: Home, environment: dict[str, str], typed: str) -> str:
    """Run a command on a terminal, and return what is to be read there in the end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words, cwd=home.directory, env=environment | {"TERM": "dumb"}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        output, has_typed = b"", False
        # Reading fails when the last process with the terminal has ended.
        with contextlib.suppress(OSError):
            while True:
                output += os.read(ours, 65_536)
                if not has_typed and b"Type the number" in output:
                    os.write(ours, f"{typed}\n".encode())
                    has_typed = True
        os.close(ours)
        assert process.wait(TIMEOUT_S) == 0, output.decode()
    assert has_typed, output.decode()
    return output.decode()
