"""Compares a transfer with its ILP packet, if the setting CHECK_ILP_PACKETS is on. After the comparison with the
transfer, the ledger compares the packet with the quote."""

from django.conf import settings

from fspiop.errors import ErrorCode, FspiopError
from ledger import ilp_packets
from ledger.commands_and_outcomes import Terms


def terms_in(
    packet_text: str, where: str, *, amount: int, currency: str, payee: str, bulk_quote_id: str | None = None
) -> Terms | None:
    """Returns the terms that the ledger compares with the quote, or None if CHECK_ILP_PACKETS is off.

    Raises FspiopError 3100 if the packet differs from the transfer.
    """
    if not settings.CHECK_ILP_PACKETS:
        return None
    packet = ilp_packets.read(packet_text)
    fault = ilp_packets.fault_of(packet, amount=amount, currency=currency, payee=payee)
    if packet is None or fault is not None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}: {fault}")
    return ilp_packets.terms_in(packet_text, packet, bulk_quote_id=bulk_quote_id)
