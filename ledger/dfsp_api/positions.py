"""Returns a DFSP's positions in three parts: its debt, its reserved amounts, and the amount that it can still send."""

import msgspec

from fspiop.money import format_amount
from ledger import position_limit, queries
from ledger.models import Account


class Position(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A DFSP's position in one currency. A positive `position` is the DFSP's debt to the scheme. The position includes
    the amount `reserved`.

    `limit` is the lower of `netDebitCap` and `cover`. `free` is the amount that the DFSP can still send: `limit` less
    `position`. If there is no `netDebitCap`, the DFSP cannot send transfers, and the fields `limit` and `free` are
    missing.
    """

    currency: str
    is_active: bool
    position: str
    reserved: str
    net_debit_cap: str | None = None
    cover: str
    limit: str | None = None
    free: str | None = None


class Positions(msgspec.Struct, rename="camel"):
    positions: list[Position]


def positions(participant_id: int) -> Positions:
    """Returns a participant's positions in all its currencies. Runs one SQL statement."""
    kinds = [Account.Type.POSITION, Account.Type.SETTLEMENT]
    rows = Account.objects.filter(participant_id=participant_id, type__in=kinds).order_by("currency")
    found: dict[str, dict[str, Account]] = {}
    for account in rows:
        found.setdefault(account.currency, {})[account.type] = account
    return Positions([_position(of["POSITION"], of.get("SETTLEMENT")) for of in found.values() if "POSITION" in of])


def _position(account: Account, settlement: Account | None) -> Position:
    position = queries.value_of(account)
    cover = queries.cover_of(settlement) if settlement is not None else 0
    cap = account.net_debit_cap
    limit = None if cap is None else position_limit.limit_of(cap, cover)
    return Position(
        currency=account.currency,
        is_active=account.is_active,
        position=format_amount(position),
        reserved=format_amount(int(account.pending_debits)),
        net_debit_cap=None if cap is None else format_amount(cap),
        cover=format_amount(cover),
        limit=None if limit is None else format_amount(limit),
        free=None if limit is None else format_amount(limit - position),
    )
