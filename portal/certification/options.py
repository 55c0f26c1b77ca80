"""The values with which a run tests a DFSP."""

from dataclasses import asdict, dataclass, field
from typing import Any

UNKNOWN = "999000000099"
"""An MSISDN that nobody has: the country code 999 is not assigned."""


@dataclass(frozen=True, slots=True)
class Options:
    """`payee` is the DFSP's test customer, who has an account in the test currency.

    `outbound` is the URL of the outbound API of the DFSP's connector. If `outbound` is set, the certifier itself orders
    the DFSP's payments. If `outbound` is empty, a person at the DFSP makes each payment within `patience_s` seconds.

    `sdk_outbound` is the URL of an API with the calls /bulkQuotes and /bulkTransfers of Mojaloop's SDK. Kitovu's
    connector has these calls too (`reference_api`). If `sdk_outbound` is set, the certifier itself orders the bulk.
    """

    payee: str
    payee_type: str = "MSISDN"
    unknown: str = UNKNOWN
    outbound: str = ""
    sdk_outbound: str = ""
    left_out: tuple[str, ...] = field(default=())
    patience_s: float = 600.0
    # The time in seconds within which the DFSP must answer. If no message comes within this time, the certifier
    # concludes that no message will come.
    answer_s: float = 10.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"left_out": list(self.left_out)}


def read(values: dict[str, Any]) -> Options:
    return Options(**(values | {"left_out": tuple(values["left_out"])}))
