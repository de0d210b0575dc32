"""`crm-sweep run` and a canary: it ends where the canary tells that something is wrong, and goes on when told to."""

import json
from collections.abc import Callable

from pyroaring import BitMap

from tests.support.home import Home
from tests.support.one_shot import ledger_of
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

#: The canary of the list of 1 to 40: every tenth.
FIRST = BitMap([1, 11, 21, 31])


def test_a_canary_that_fails_ends_the_run_and_the_same_command_goes_on(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    crm.change(poison_status=400)
    crm.change_world(poison=[11])
    home.configure(main={"url": crm.url, "canary": "10%"})
    home.ids(*range(1, 41))
    result = home.cli("run", "ids.txt", "--portal", "main", "--report", "out.csv")
    assert result.code == 1, result.stderr
    assert result.stderr.count("canary: ") == 1
    assert "start the same command again" in result.stderr
    assert crm.contacts("deleted") == FIRST - BitMap([11])
    assert ledger_of(home.directory / "out.csv") == {
        "deleted": FIRST - BitMap([11]),
        "failed": BitMap([11]),
        "pending": BitMap(range(1, 41)) - FIRST,
    }
    again = home.cli("run", "ids.txt", "--portal", "main", "--report", "out.csv", "--json")
    assert again.code == 3, again.stderr
    assert crm.contacts("deleted") == BitMap(range(1, 41)) - BitMap([11])
    canary = json.loads(again.stdout)["canary"]
    assert (canary["contacts"], canary["decided"], canary["departed"], canary["state"]) == (4, 4, 1, "passed")
    assert (canary["counts"]["deleted"], canary["counts"]["failed"], canary["counts"]["pending"]) == (3, 1, 0)


def test_a_good_canary_is_not_noticed(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, "canary": 4})
    home.ids(*range(1, 41))
    result = home.cli("run", "ids.txt", "--portal", "main")
    assert result.code == 0, result.stderr
    assert "canary" not in result.stderr
    assert crm.contacts("deleted") == BitMap(range(1, 41))


def test_a_person_looks_at_each_canary_where_the_portal_wants_that(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, "canary": 4, "canary_confirm": True})
    home.ids(*range(1, 41))
    assert home.cli("run", "ids.txt", "--portal", "main").code == 1
    assert crm.contacts("deleted") == FIRST
    assert home.cli("run", "ids.txt", "--portal", "main").code == 0
    assert crm.contacts("deleted") == BitMap(range(1, 41))
