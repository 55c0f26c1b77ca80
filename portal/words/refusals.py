"""The translatable words for the reasons why a transfer or a conversion ended without a payment (`Refusal`).

The ledger and the files contain the untranslated names, such as REJECTED_BY_PAYEE. The pages show the words.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WORDS: dict[str, Promise] = {
    "ID_WAS_USED_WITH_OTHER_CONTENT": _("this id was used before, with other content"),
    "PAYER_IS_NOT_ACTIVE": _("the payer DFSP is paused"),
    "PAYEE_IS_UNKNOWN": _("no participant has the payee DFSP's name"),
    "PAYEE_IS_NOT_ACTIVE": _("the payee DFSP is paused"),
    "PAYER_MAY_NOT_SEND": _("the payer DFSP may not send"),
    "PAYEE_MAY_NOT_RECEIVE": _("the payee DFSP may not receive"),
    "PAYER_AND_PAYEE_ARE_THE_SAME": _("the payer DFSP and the payee DFSP are the same"),
    "DESTINATION_IS_NOT_THE_PAYEE": _("the message's destination is not the payee DFSP"),
    "PAYER_HAS_NO_ACTIVE_ACCOUNT": _("the payer DFSP has no active account in this currency"),
    "PAYEE_HAS_NO_ACTIVE_ACCOUNT": _("the payee DFSP has no active account in this currency"),
    "EXPIRED_ON_ARRIVAL": _("it had expired when it reached the hub"),
    "EXPIRES_TOO_LATE": _("its expiration is later than the scheme allows"),
    "TERMS_ARE_NOT_THOSE_OF_THE_QUOTE": _("its terms are not the terms of the quote"),
    "REFUSED_BY_RULE": _("a rule of the scheme refused it"),
    "LIQUIDITY": _("the cover was too low"),
    "NDC": _("the net debit cap was too low"),
    "EXPIRED": _("nobody answered before its expiration"),
    "REJECTED_BY_PAYEE": _("the payee DFSP rejected it"),
    "FULFILMENT_DOES_NOT_MATCH": _("the fulfilment was wrong"),
    "FULFILMENT_NAMES_ANOTHER_PAYER": _("the fulfilment named another payer DFSP"),
    "REFUSED_WHILE_HELD": _("it was refused while it was held"),
    "ALREADY_ENDED": _("it had ended already"),
    "ENDS_WITH_ITS_BULK": _("its bulk ended"),
    "NO_ITEM_WAS_RESERVED": _("no transfer of the bulk was reserved"),
    "ID_IS_OF_BOTH": _("a transfer and a conversion have the same id"),
    "CONVERSION_IS_NOT_AGREED": _("the FXP has not fulfilled the conversion"),
    "CONVERSION_IS_OF_OTHER_MONEY": _("the conversion has another amount or currency"),
    "CONVERSION_EXPIRED": _("the conversion has expired"),
    "CONVERSION_HAS_ENDED": _("the conversion has ended"),
    "FXP_IS_PARTY_OF_THE_TRANSFER": _("the FXP is the transfer's payer DFSP or payee DFSP"),
    "INITIATOR_IS_NOT_ACTIVE": _("the initiator is paused"),
    "FXP_IS_UNKNOWN": _("no participant has the FXP's name"),
    "FXP_IS_NOT_ACTIVE": _("the FXP is paused"),
    "INITIATOR_MAY_NOT_SEND": _("the initiator may not send"),
    "FXP_MAY_NOT_CONVERT": _("the FXP may not convert"),
    "INITIATOR_AND_FXP_ARE_THE_SAME": _("the initiator and the FXP are the same"),
    "INITIATOR_HAS_NO_ACTIVE_ACCOUNT": _("the initiator has no active account in this currency"),
    "FXP_HAS_NO_ACTIVE_ACCOUNT": _("the FXP has no active account in this currency"),
    "DESTINATION_IS_NOT_THE_FXP": _("the message's destination is not the FXP"),
    "TRANSFER_IS_NOT_OPEN": _("the transfer is not open"),
    "TRANSFER_IS_OF_OTHER_MONEY": _("the transfer has another amount or currency"),
    "TRANSFER_IS_CONVERTED_ALREADY": _("the transfer already has a conversion"),
    "REJECTED_BY_FXP": _("the FXP rejected it"),
    "TRANSFER_DID_NOT_COME": _("its transfer did not arrive"),
    "TRANSFER_WAS_ABORTED": _("its transfer was aborted"),
}


def word_of(name: str | None) -> str:
    """Returns the words for a reason. If this module does not know a reason, returns the name of the reason."""
    return str(WORDS.get(name or "") or name or "")
