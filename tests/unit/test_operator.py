"""The name under which the command line records what was done."""

import pytest

from cli.context import operator


@pytest.mark.parametrize(
    ("name", "shown"),
    [("ada", "cli:ada"), ("m\udcfcller", "cli:m?ller"), ("a" * 1000, f"cli:{'a' * 64}")],
    ids=["plain", "not in UTF-8", "very long"],
)
def test_whatever_the_environment_says_can_be_kept(monkeypatch: pytest.MonkeyPatch, name: str, shown: str) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: name)
    assert operator() == shown
    assert operator().encode()
