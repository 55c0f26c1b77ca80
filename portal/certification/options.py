"""The values with which a run tests a DFSP."""

from dataclasses import asdict, dataclass, field
from typing import Any

UNKNOWN = "999000000099"
"""An MSISDN that nobody has: the country code 999 is not assigned."""


@dataclass(frozen=True, slots=True)
class Options:
    """`payee` is the DFSP's test customer, which has an account in the test currency.

    `outbound` is the URL of the DFSP's connector (its outbound API). If a URL of an outbound API is set, the certifier
    itself orders the DFSP's payments. If no URL is set, a person at the DFSP makes the payments within `patience_s`.
    """

    payee: str
    payee_type: str = "MSISDN"
    unknown: str = UNKNOWN
    outbound: str = ""
    left_out: tuple[str, ...] = field(default=())
    patience_s: float = 600.0
    answer_s: float = 10.0  # how long the DFSP may take to answer

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"left_out": list(self.left_out)}


def read(values: dict[str, Any]) -> Options:
    return Options(**(values | {"left_out": tuple(values["left_out"])}))
