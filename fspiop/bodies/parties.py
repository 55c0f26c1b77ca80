"""The bodies of /parties (FSPIOP API v1.1, section 6.3)."""

from fspiop.bodies.common import Message, Party


class PartyPut(Message):
    """PUT /parties/{Type}/{ID} (section 6.3.4.1): the party's data, with the party's DFSP."""

    party: Party
