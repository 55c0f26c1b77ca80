"""What the tests of rules have in common."""

import pytest

from rules import refreshed_name_sets


@pytest.fixture(autouse=True)
def _copies_are_read_again(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that is rolled back changes lists and reads them at once, as no process does."""
    if "committed_world" not in request.fixturenames:
        monkeypatch.setattr(refreshed_name_sets, "FRESH_S", 0)
