"""The judge of kept records: a PUT of a contact without one is found, and only where records have to be kept."""

from pyroaring import BitMap

from chaos.evidence import Attempt
from chaos.guarded import Guarded
from chaos.kept import judge_records
from chaos.verdict import Verdict


def put(*contact_ids: int) -> Attempt:
    ids = BitMap(contact_ids)
    return Attempt(
        kind="delete",
        arrived_s=1.0,
        answered_s=2.0,
        committed_s=1.5,
        asked=ids,
        deleted=ids,
        listed=ids,
        clean=True,
        fault=None,
        delivered=True,
    )


def guarded() -> Guarded:
    return Guarded(
        lists={},
        deletable={},
        approved_s={},
        portals={"capped": BitMap(range(100, 200))},
        ordinary="main",
        stops=(),
        windowed="none",
        open_times=(),
        capped="capped",
        cap=1000,
    )


def test_what_was_sent_without_a_record_is_found() -> None:
    verdict = Verdict()
    judge_records(verdict, [put(1, 2), put(3)], guarded(), BitMap([1, 2]), ["main"])
    assert verdict.disagreements == ["sent, although no bundle has its record: 1 contacts, such as 3"]


def test_where_no_records_are_kept_none_is_asked_for() -> None:
    verdict = Verdict()
    judge_records(verdict, [put(1), put(150)], guarded(), BitMap([1]), ["main"])
    assert verdict.disagreements == []
