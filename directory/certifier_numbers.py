"""The telephone numbers that are reserved for the certifier. The certifier's numbers begin with 999, which is no
country's code.

If a DFSP had registered one of these numbers, no DFSP could be certified.
"""

from django.conf import settings

from directory.aliases import Alias
from fspiop.errors import ErrorCode, FspiopError
from hub.participants.models import Participant

NUMBERS = frozenset(f"9990000000{number:02}" for number in range(1, 100))


def check_not_reserved(alias: Alias, fsp: Participant) -> None:
    """Refuses to register the certifier's numbers for another DFSP. The spelling, the sub-id and the currency of the
    alias make no difference."""
    if alias.type == "MSISDN" and alias.key in NUMBERS and fsp.name != settings.CERTIFIER_NAME:
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, "this number is reserved for the certification of DFSPs")
