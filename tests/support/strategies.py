"""What tests that generate positions, items and records share."""

from hypothesis import strategies as st

from jobs.ledger.items import Call, Item
from jobs.ledger.records import Record
from jobs.words.outcomes import Code

MAX_POSITION = 65_535

#: Codes that a record can have: all except "not decided yet".
FINAL = [code for code in Code if code is not Code.PENDING]


def runs(max_size: int = 1000) -> st.SearchStrategy[range]:
    """Generate positions without a gap."""
    return st.integers(1, max_size).flatmap(
        lambda size: st.integers(0, MAX_POSITION + 1 - size).map(lambda start: range(start, start + size))
    )


def scattered(max_size: int = 60, top: int = MAX_POSITION) -> st.SearchStrategy[list[int]]:
    """Generate ascending positions, mostly with gaps."""
    return st.sets(st.integers(0, top), min_size=1, max_size=max_size).map(sorted)


positions = st.one_of(runs(), scattered())

items = st.builds(
    Item,
    call=st.sampled_from(Call),
    segment=st.integers(0, 65_535),
    positions=positions,
    doubtful=st.booleans(),
    seen_refused=st.booleans(),
    attempts=st.integers(0, 255),
    failures=st.integers(0, 255),
    http_status=st.integers(0, 999),
    reason=st.sampled_from(Code),
)


def records(where: st.SearchStrategy[list[int]] | st.SearchStrategy[range]) -> st.SearchStrategy[Record]:
    """Generate records of the given positions, some with one outcome, some mixed."""

    def of(places: list[int] | range) -> st.SearchStrategy[Record]:
        codes = st.lists(st.sampled_from(FINAL), min_size=len(places), max_size=len(places))
        uniform = st.sampled_from(FINAL).map(lambda code: [code] * len(places))
        return st.builds(
            Record,
            positions=st.just(places),
            codes=st.one_of(uniform, codes).map(bytes),
            attempts=st.integers(0, 255),
            http_status=st.integers(0, 999),
            at_ms=st.integers(0, 2**48 - 1),
        )

    return where.flatmap(of)
