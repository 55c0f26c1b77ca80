"""The types and parts that several messages of the API use (FSPIOP API v1.1, sections 7.2 to 7.4).

The lengths, patterns and lists in this module apply to all versions of the API from 1.0 to 2.0. If the versions of the
API have different limits, this module applies the widest limit. So the hub can read messages of every version. The hub
ignores unknown fields of a message.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from fspiop import correlation_ids, money, time
from fspiop.bodies import names


class Message(Struct, rename="camel", omit_defaults=True):
    """A JSON object in a message. A field with the value None is not part of the written message."""


Amount = Annotated[str, Meta(pattern=money.AMOUNT)]  # section 7.2.13
BinaryString32 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]  # section 7.2.18
CorrelationId = Annotated[str, Meta(pattern=correlation_ids.CORRELATION_ID)]  # section 7.3.8; v2.0 adds the ULID
DateTime = Annotated[str, Meta(pattern=time.DATE_TIME)]  # section 7.2.14
Date = Annotated[str, Meta(pattern=time.DATE)]  # section 7.2.15
FspId = Annotated[str, Meta(min_length=1, max_length=32)]  # section 7.3.16
IlpPacket = Annotated[str, Meta(min_length=1, max_length=32768, pattern=r"^[A-Za-z0-9_-]+={0,2}\Z")]  # section 7.3.19
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=names.NAME)]  # sections 7.2.4 and 7.3.15
BalanceOfPayments = Annotated[str, Meta(pattern=r"^[1-9][0-9]{2}\Z")]  # section 7.3.5
KycInformation = Annotated[str, Meta(min_length=1, max_length=2048)]  # v2.0
MerchantCode = Annotated[str, Meta(pattern=r"^[0-9]{1,4}\Z")]  # section 7.3.21
SubScenario = Annotated[str, Meta(pattern=r"^[A-Z_]{1,32}\Z")]  # section 7.3.34
Text128 = Annotated[str, Meta(min_length=1, max_length=128)]  # sections 7.3.14, 7.3.23, 7.3.24, 7.3.27 and 7.3.28

if TYPE_CHECKING:
    Currency = str
    ErrorCodeText = str
else:
    Currency = Literal[tuple(sorted(money.CURRENCIES))]  # section 7.3.9
    # Some senders write the code as a number; `ErrorInformation` converts this number to text.
    ErrorCodeText = Annotated[str, Meta(pattern=r"^[1-9][0-9]{3}\Z")] | Annotated[int, Meta(ge=1000, le=9999)]

PartyIdType = Literal[
    "MSISDN",
    "EMAIL",
    "PERSONAL_ID",
    "BUSINESS",
    "DEVICE",
    "ACCOUNT_ID",
    "IBAN",
    "ALIAS",
    "CONSENT",
    "THIRD_PARTY_LINK",
]
# The sub-ids of identifiers of the type PERSONAL_ID (section 7.5.7).
PERSONAL_IDENTIFIER_TYPES = (
    "PASSPORT",
    "NATIONAL_REGISTRATION",
    "DRIVING_LICENSE",
    "ALIEN_REGISTRATION",
    "NATIONAL_ID_CARD",
    "EMPLOYER_ID",
    "TAX_ID_NUMBER",
    "SENIOR_CITIZENS_CARD",
    "MARRIAGE_CERTIFICATE",
    "HEALTH_CARD",
    "VOTERS_ID",
    "UNITED_NATIONS",
    "OTHER_ID",
)
AmountType = Literal["SEND", "RECEIVE"]
AuthenticationType = Literal["OTP", "QRCODE", "U2F"]  # section 7.5.2; v2.0 adds U2F
TransferState = Literal["RECEIVED", "RESERVED", "COMMITTED", "ABORTED"]


class Extension(Message):
    """One field that a scheme adds to a message: a key and a value (section 7.4.3)."""

    key: Annotated[str, Meta(min_length=1, max_length=32)]
    value: Text128


class ExtensionList(Message):
    """The fields that a scheme adds to a message (section 7.4.4)."""

    extension: Annotated[list[Extension], Meta(min_length=1, max_length=16)]


class Money(Message):
    """An amount of money in a currency (section 7.4.10)."""

    currency: Currency
    amount: Amount


class GeoCode(Message):
    """A party's geographic position (section 7.4.9)."""

    latitude: Annotated[str, Meta(pattern=r"^[+-]?(?:90(?:\.0{1,6})?|(?:[0-9]|[1-8][0-9])(?:\.[0-9]{1,6})?)\Z")]
    longitude: Annotated[
        str, Meta(pattern=r"^[+-]?(?:180(?:\.0{1,6})?|(?:[0-9]|[1-9][0-9]|1[0-7][0-9])(?:\.[0-9]{1,6})?)\Z")
    ]


class ErrorInformation(Message):
    """An error code and its description (section 7.4.2)."""

    error_code: ErrorCodeText
    error_description: Text128
    extension_list: ExtensionList | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.error_code, str):
            self.error_code = str(self.error_code)


class PartyIdInfo(Message):
    """The identifier of a party (section 7.4.13); version 1.1 adds the extension list."""

    party_id_type: PartyIdType
    party_identifier: Text128
    party_sub_id_or_type: Text128 | None = None
    fsp_id: FspId | None = None
    extension_list: ExtensionList | None = None


class PartyComplexName(Message):
    """A person's first, middle and last name (section 7.4.12)."""

    first_name: Name | None = None
    middle_name: Name | None = None
    last_name: Name | None = None


class PartyPersonalInfo(Message):
    """Personal data of a party (section 7.4.14); version 2.0 adds the KYC information."""

    complex_name: PartyComplexName | None = None
    date_of_birth: Date | None = None
    kyc_information: KycInformation | None = None


class Party(Message):
    """The payer or payee (section 7.4.11). Version 2.0 allows any name for a party, and adds the list of currencies
    that the party can use."""

    party_id_info: PartyIdInfo
    merchant_classification_code: MerchantCode | None = None
    name: Text128 | None = None
    personal_info: PartyPersonalInfo | None = None
    supported_currencies: Annotated[list[Currency], Meta(max_length=16)] | None = None


class Refund(Message):
    """The original transaction of a refund, and the reason for the refund (section 7.4.16)."""

    original_transaction_id: CorrelationId
    refund_reason: Text128 | None = None


class TransactionType(Message):
    """The kind of payment, and the party that initiated the payment (section 7.4.18)."""

    scenario: Literal["DEPOSIT", "WITHDRAWAL", "TRANSFER", "PAYMENT", "REFUND"]
    initiator: Literal["PAYER", "PAYEE"]
    initiator_type: Literal["CONSUMER", "AGENT", "BUSINESS", "DEVICE"]
    sub_scenario: SubScenario | None = None
    refund_info: Refund | None = None
    balance_of_payments: BalanceOfPayments | None = None


class Transaction(Message):
    """The requested payment, as the ILP packet contains it (section 7.4.17)."""

    transaction_id: CorrelationId
    quote_id: CorrelationId
    payee: Party
    payer: Party
    amount: Money
    transaction_type: TransactionType
    note: Text128 | None = None
    extension_list: ExtensionList | None = None
