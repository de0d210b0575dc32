"""What unit tests share: no secret of one test is masked in another."""

import pytest

from config import masking


@pytest.fixture(autouse=True)
def no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without known secrets, and leave none behind: the mask is shared by all tests of a process."""
    monkeypatch.setattr(masking, "_known", masking._Known())
