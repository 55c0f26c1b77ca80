"""The telephone numbers that only the certifier may register. The certifier's numbers begin with 999, which is no
country's code.

A DFSP that held one of these numbers would stop the certification of every DFSP.
"""

from django.conf import settings

from directory.aliases import Alias
from fspiop.errors import ErrorCode, FspiopError
from hub.participants.models import Participant

NUMBERS = frozenset(f"9990000000{number:02}" for number in range(1, 100))


def check_not_reserved(alias: Alias, fsp: Participant) -> None:
    """Refuses a number of the certifier to any other DFSP, in every spelling, with every sub-id and every currency."""
    if alias.type == "MSISDN" and alias.key in NUMBERS and fsp.name != settings.CERTIFIER_NAME:
        raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, "this number is reserved for the certification of DFSPs")
