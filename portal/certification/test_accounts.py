"""Opens the test accounts of the hub, of the certifier and of the tested DFSPs.

The accounts are in the test currency (`hub.test_currency`). The hub never settles and never converts this currency.
"""

import uuid

from django.db import transaction

from hub.participants.models import Participant
from hub.test_currency import TEST_CURRENCY
from ledger import accounts_and_funds as ledger
from ledger import queries
from ledger.models import Account

ACTOR = "certification"
_CAP = 1_000_000 * 10_000  # in ten-thousandths
_LEAST_FREE = 100_000 * 10_000  # an account with less free money than this amount gets more test money
_HUB_TYPES = (Account.Type.HUB_RECONCILIATION, Account.Type.HUB_MULTILATERAL_SETTLEMENT)


def open_hub_accounts() -> None:
    """Opens the hub's accounts in the test currency that do not exist yet."""
    for account_type in _HUB_TYPES:
        known = Account.objects.filter(participant__is_hub=True, currency=TEST_CURRENCY, type=account_type)
        if not known.exists():
            ledger.open_hub_account(account_type=account_type, currency=TEST_CURRENCY, actor=ACTOR)


@transaction.atomic
def open_accounts(participant: Participant) -> None:
    """Prepares the test accounts of the certifier or of a DFSP. A repeated call adds only the parts that are still
    missing."""
    if not queries.accounts_of(participant, TEST_CURRENCY).exists():
        ledger.register_participant(name=participant.name, currency=TEST_CURRENCY, is_proxy=False, actor=ACTOR)
    position = queries.positions_of(participant, TEST_CURRENCY).get()
    if position.net_debit_cap is None:
        ledger.set_initial_limit(participant, currency=TEST_CURRENCY, ndc=_CAP, actor=ACTOR)
        position.refresh_from_db()
    elif not position.is_active:
        ledger.set_account_active(position, is_active=True, actor=ACTOR)
    used = queries.value_of(position)
    cap = position.net_debit_cap or 0
    if cap - used < _LEAST_FREE:
        ledger.change_ndc(participant, currency=TEST_CURRENCY, ndc=used + _CAP, alarm_percentage=None, actor=ACTOR)
    settlement = queries.accounts_of(participant, TEST_CURRENCY).get(type=Account.Type.SETTLEMENT)
    if queries.cover_of(settlement) - used < _LEAST_FREE:
        ledger.record_funds_in(
            settlement,
            transfer_id=str(uuid.uuid4()),
            amount=max(_CAP, used + _CAP),
            reason="test money for certification",
            external_reference="certification",
            actor=ACTOR,
        )
