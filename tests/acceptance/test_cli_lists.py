"""Every form of FILE on the command line, what is refused, and when the user has to agree."""

import gzip
import json
import os
import pty
import select
import subprocess

import pytest

from tests.support.home import PROGRAM, Home

IDS = (3, 7, 2147483647)


@pytest.fixture
def queued(home: Home) -> Home:
    """Set up a home whose portal has no worker."""
    home.configure(main={"url": "http://127.0.0.1:9"})
    return home


#: Either its second row spans two lines, or a quote mark is an inch mark and 5 is a contact as well.
AMBIGUOUS = 'id,note\n3,"5 inch\n5,7 inch"\n7,ok\n2147483647,ok\n'

FORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lines": ("7\n3\r\n\n 2147483647 \n", ()),
    "csv": ('Name,Contact_ID\n"Doe, J",3\nX,7\nY,2147483647\n', ()),
    "csv with a named column": ("id;Kunde\n9;3\n9;7\n9;2147483647\n", ("--column", "kunde")),
    "json": ("[3, 7, 2147483647]", ()),
    "json objects": ('[{"ID": 3}, {"ID": 7}, {"ID": 2147483647}]', ()),
    "ndjson": ('3\n{"contactId": 7}\n{"id": 2147483647, "name": "x"}\n', ()),
    "csv over several lines": (AMBIGUOUS, ("--multiline",)),
    "invalid ones skipped": ("3\n7\n5.0\n-1\n0\n2147483648\n2147483647\ntrue\n", ("--skip-invalid",)),
}


@pytest.mark.parametrize("form", FORMS)
def test_takes_every_form(queued: Home, form: str) -> None:
    content, options = FORMS[form]
    result = queued.cli("submit", queued.write("list", content), "--portal", "main", *options)
    assert result.code == 0, result.stderr
    assert contact_ids(queued, result.stdout.strip()) == list(IDS)


def test_takes_standard_input_and_gzip(queued: Home) -> None:
    packed = gzip.compress(b"id\n3\n7\n2147483647\n")
    for file, stdin in (("-", b"3\n7\n2147483647\n"), ("-", packed), (queued.write("list.csv.gz", packed), b"")):
        result = queued.cli("submit", file, "--portal", "main", stdin=stdin)
        assert result.code == 0, result.stderr
        assert contact_ids(queued, result.stdout.strip()) == list(IDS)


@pytest.mark.parametrize("text", ["5.0", '"7"', "true", "0", "-1", "2147483648", "x"])
def test_names_the_line_and_the_text_of_what_is_no_contact_id(queued: Home, text: str) -> None:
    result = queued.cli("submit", queued.write("list", f"1\n2\n{text}\n4\n"), "--portal", "main")
    assert (result.code, result.stdout) == (2, "")
    assert "line 3" in result.stderr
    assert text in result.stderr
    assert json.loads(queued.cli("list", "--json").stdout)["jobs"] == []


def test_tells_the_first_ten_bad_lines_and_counts_the_others(queued: Home) -> None:
    result = queued.cli("submit", queued.write("list", "1\n" + "bad\n" * 25), "--portal", "main")
    assert result.code == 2
    assert result.stderr.count('"bad"') == 10
    assert "line 11" in result.stderr
    assert "15 more" in result.stderr


def test_says_how_the_list_was_read(queued: Home) -> None:
    file = queued.write("list.csv", 'sep=;\nname;id\n"Doe\nJ";3\n\nX;7\nY;7\n')
    result = queued.cli("submit", file, "--portal", "main", "--json")
    assert result.code == 0, result.stderr
    assert f"{file}: 2 contact IDs, 1 duplicate left out\n" in result.stderr
    assert (
        f"{file}: read as CSV, delimiter semicolon, column 'id', UTF-8; 7 lines, 3 records, 1 blank line"
        in result.stderr
    )
    assert f"{file}: 1 record spans several lines; the first begins on line 3" in result.stderr
    assert json.loads(result.stdout)["intake"]["multiline_records"] == 1


@pytest.mark.parametrize("command", ["submit", "run"])
def test_a_list_that_can_be_read_in_two_ways_is_refused_with_the_way_out(queued: Home, command: str) -> None:
    result = queued.cli(command, queued.write("list.csv", AMBIGUOUS), "--portal", "main", "--skip-invalid")
    assert (result.code, result.stdout) == (2, "")
    assert "lines 2 to 3 can be read in two ways" in result.stderr
    assert "--multiline" in result.stderr
    assert json.loads(queued.cli("list", "--json").stdout)["jobs"] == []


def test_a_column_that_looks_like_the_one_is_named(queued: Home) -> None:
    result = queued.cli("submit", queued.write("list.csv", "Kontaktnummer;Name\n101;Ann\n"), "--portal", "main")
    assert result.code == 2
    assert "contact IDs may be in 'Kontaktnummer'" in result.stderr
    assert "--column" in result.stderr


def test_a_bad_line_of_the_protected_list_is_told_with_its_number(queued: Home) -> None:
    protected = queued.write("protected.csv", 'id,note\n101,ok\n102,"5 inch\n103,ok\n')
    queued.configure(main={"url": "http://127.0.0.1:9", "protected_ids_file": protected})
    result = queued.cli("check")
    assert result.code != 0
    assert 'line 3 ("102,"5 inch"): a quote mark opens a field that is never closed' in result.stdout + result.stderr


def test_refuses_what_cannot_be_read(queued: Home) -> None:
    for file in ("no-such-file", ".", queued.write("empty", "")):
        result = queued.cli("submit", file, "--portal", "main")
        assert (result.code, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 1
        assert file in result.stderr


def test_many_contacts_need_yes_where_nobody_can_be_asked(queued: Home) -> None:
    file = queued.ids(*range(1, 1002))
    for command in ("submit", "run"):
        refused = queued.cli(command, file, "--portal", "main")
        assert (refused.code, refused.stdout) == (2, "")
        assert "--yes" in refused.stderr
    assert json.loads(queued.cli("list", "--json").stdout)["jobs"] == []
    assert queued.cli("submit", file, "--portal", "main", "--yes").code == 0
    assert queued.cli("submit", queued.ids(*range(1, 1001)), "--portal", "main").code == 0


@pytest.mark.parametrize(
    ("typed", "code"), [("1001\n", 0), ("1,001\n", 0), ("yes\n", 2), ("1000\n", 2), ("\x04", 2), ("\x03", 130)]
)
def test_on_a_terminal_the_number_of_contacts_is_to_be_typed(queued: Home, typed: str, code: int) -> None:
    code_given, seen, stdout = typed_at_a_terminal(queued, queued.ids(*range(1, 1002)), typed)
    assert "1,001 contacts from portal main" in seen
    assert code_given == code
    assert len(stdout.splitlines()) == (1 if code == 0 else 0)
    assert len(json.loads(queued.cli("list", "--json").stdout)["jobs"]) == (1 if code == 0 else 0)


@pytest.mark.parametrize(("typed", "code"), [("4\n", 0), ("n\n", 2)])
def test_on_a_terminal_a_list_that_may_be_cut_off_is_asked_about(queued: Home, typed: str, code: int) -> None:
    file = queued.write("cut.txt", "10117\n10118\n10119\n10")
    code_given, seen, _ = typed_at_a_terminal(queued, file, typed)
    assert "was the list cut off?" in seen
    assert code_given == code
    assert queued.cli("submit", file, "--portal", "main").code == 0, "a script is warned, and goes on"


def typed_at_a_terminal(queued: Home, file: str, typed: str) -> tuple[int, str, str]:
    """Submit a list and answer the question; return the exit code, what the terminal showed, and standard output."""
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "submit", file, "--portal", "main"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=queued.directory,
        env=queued.environment(),
        # A terminal of its own, so that Ctrl-C typed there is a signal.
        start_new_session=True,
        preexec_fn=lambda: make_controlling_terminal(theirs),  # noqa: PLW1509 - no threads in this test
    )
    queued.running.append(process)
    os.close(theirs)
    seen = read_until(mine, "go ahead: ")
    os.write(mine, typed.encode())
    stdout, _ = process.communicate(timeout=30)
    os.close(mine)
    return process.returncode, seen, stdout.decode()


def make_controlling_terminal(descriptor: int) -> None:
    os.close(os.open(os.ttyname(descriptor), os.O_RDWR))


def read_until(terminal: int, text: str) -> str:
    seen = ""
    while text not in seen:
        readable, _, _ = select.select([terminal], [], [], 30)
        assert readable, f"only saw {seen!r}"
        seen += os.read(terminal, 4096).decode()
    return seen


def contact_ids(home: Home, job_id: str) -> list[int]:
    lines = home.cli("results", job_id, "--format", "ndjson").stdout.splitlines()
    return [json.loads(line)["contact_id"] for line in lines]
