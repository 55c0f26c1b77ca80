"""Named cases of one test."""

from collections.abc import Mapping
from typing import Any

import pytest


def each(name: str, cases: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Runs a test with each case, under the case's name."""
    return pytest.mark.parametrize(name, cases.values(), ids=cases)
