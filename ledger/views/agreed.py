"""What a transfer was agreed to be (CHECK_ILP_PACKETS): held against its ILP packet here, against its quote later."""

from django.conf import settings

from fspiop.errors import ErrorCode, FspiopError
from ledger import ilp_packets
from ledger.messages import Terms


def terms_in(
    packet_text: str, where: str, *, amount: int, currency: str, payee: str, bulk_quote_id: str | None = None
) -> Terms | None:
    """The terms to hold a transfer against, None where the hub does not look; FspiopError 3100 for another's packet."""
    if not settings.CHECK_ILP_PACKETS:
        return None
    packet = ilp_packets.read(packet_text)
    fault = ilp_packets.fault_of(packet, amount=amount, currency=currency, payee=payee)
    if packet is None or fault is not None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}: {fault}")
    return ilp_packets.terms_in(packet_text, packet, bulk_quote_id=bulk_quote_id)
