"""The bank's fees, in ten-thousandths. A payer pays the fee in addition to the amount. A shop pays the fee out of the
amount that it receives.
"""

from kitovu_connector.amounts import parse_amount

_UNIT = 10_000
_LEAST = {"TZS": parse_amount("50"), "KES": parse_amount("2")}
_MOST = {"TZS": parse_amount("3000"), "KES": parse_amount("150")}
_FREE_UP_TO = {"TZS": parse_amount("1000"), "KES": parse_amount("50")}
_PER_10_000 = {"transfer": 50, "cash_out": 100}  # 0.5 % of a transfer, 1 % of a cash-out; other kinds have no fee
_SHOP_PER_10_000 = 50


def payer_fee(kind: str, amount: int, currency: str) -> int:
    """Returns the fee that the payer's bank charges for a payment. The fee is rounded down to whole units of the
    currency. Payments in all currencies except TZS and KES have no fee."""
    rate = _PER_10_000.get(kind, 0)
    if rate == 0 or currency not in _FREE_UP_TO or amount <= _FREE_UP_TO[currency]:
        return 0
    fee = amount * rate // 10_000 // _UNIT * _UNIT
    return max(_LEAST[currency], min(fee, _MOST[currency]))


def shop_fee(amount: int) -> int:
    """Returns the fee that a shop's bank deducts from a payment to the shop. The fee is rounded down to whole units of
    the currency."""
    return amount * _SHOP_PER_10_000 // 10_000 // _UNIT * _UNIT
