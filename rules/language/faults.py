"""The faults of a rule set. Each has the place that is wrong, a code and a text. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong in a rule set."""

    path: str
    """The place, for example `rules[3].if.all[0].value.amount`. Empty for the whole document."""
    code: str
    params: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Returns the fault in English, without its place."""
        return TEXTS[self.code].format(**self.params)

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text
