"""Lists and kill switches need keys of parties and of other objects. This module computes the keys of objects other
than parties.

All keys are hashes of the same length, so one query finds keys of all kinds.
"""

from rules.party_keys import dfsp_key, key_of, pair_key

of_dfsp = dfsp_key


def served(party_key: int, dfsp: str) -> int:
    """Returns the common key of a party and the DFSP that serves the party.

    The hub stores a match of names under this key. So if a DFSP sends a listed name, this cannot cause a match for
    another DFSP's customer.
    """
    return pair_key(party_key, dfsp_key(dfsp))


def of_corridor(payer_dfsp: str, payee_dfsp: str) -> int:
    """Returns the key of the payments from one DFSP to another DFSP."""
    return pair_key(dfsp_key(payer_dfsp), dfsp_key(payee_dfsp))


def of_name(folded: str) -> int:
    """Returns the hash under which the hub stores a name."""
    return key_of("a name", folded)
