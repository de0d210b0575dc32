"""Items come back as they were; their first bytes are what the rescue script changes."""

import pytest
from hypothesis import given
from msgspec.structs import replace

from jobs.ledger.items import Call, Item
from jobs.words.outcomes import Code
from tests.support.strategies import items


@given(items)
def test_round_trip(item: Item) -> None:
    again = Item.decode(item.encode())
    assert replace(again, positions=list(again.positions)) == replace(item, positions=list(item.positions))


@pytest.mark.parametrize("field", ["attempts", "failures"])
def test_counters_stop_at_255(field: str) -> None:
    many = {field: 1000}
    item = Item(call=Call.PUT, segment=0, positions=range(3), **many)  # type: ignore[arg-type] # by name
    assert getattr(Item.decode(item.encode()), field) == 255


def test_the_bytes_that_lua_reads_and_writes_are_where_it_expects_them() -> None:
    item = Item(
        call=Call.LOOK_UP,
        segment=0x0201,
        positions=range(4, 7),
        doubtful=True,
        attempts=9,
        failures=8,
        http_status=502,
        reason=Code.TIMEOUT,
    )
    assert item.encode() == b"L\x01\x09\x08" + (502).to_bytes(2, "little") + b"\x12\x01\x02" + b"\x04\x00\x03\x00\x00"
