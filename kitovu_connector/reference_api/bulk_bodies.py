"""The requests of the SDK's outbound API for bulks and conversions, as types."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from fspiop.bodies.bulk_quotes import MAX_QUOTES
from fspiop.bodies.bulk_transfers import MAX_TRANSFERS
from fspiop.bodies.common import (
    AmountType,
    BinaryString32,
    CorrelationId,
    Currency,
    DateTime,
    Extension,
    ExtensionList,
    FspId,
    IlpPacket,
    Money,
    Party,
    SubScenario,
    Text128,
)
from kitovu_connector.payment_order import Scenario
from kitovu_connector.reference_api.bodies import HomeId, PairList, TransferParty, Wanted


class IndividualQuote(Wanted, kw_only=True):
    """One payment in the body of POST /bulkQuotes."""

    quote_id: CorrelationId
    to: TransferParty
    amount_type: AmountType
    currency: Currency
    amount: str
    transaction_type: Scenario
    sub_scenario: SubScenario | None = None
    note: Text128 | None = None
    extensions: PairList | None = None


class BulkQuoteWanted(Wanted, kw_only=True):
    """POST /bulkQuotes."""

    home_transaction_id: HomeId
    from_: TransferParty = field(name="from")
    individual_quotes: Annotated[tuple[IndividualQuote, ...], Meta(min_length=1, max_length=MAX_QUOTES)]
    bulk_quote_id: CorrelationId | None = None
    extensions: PairList | None = None


class IndividualTransfer(Wanted, kw_only=True):
    """One payment in the body of POST /bulkTransfers."""

    transfer_id: CorrelationId
    to: TransferParty
    amount_type: AmountType
    currency: Currency
    amount: str
    ilp_packet: IlpPacket
    condition: BinaryString32
    transaction_type: Scenario = "TRANSFER"
    sub_scenario: SubScenario | None = None
    note: Text128 | None = None
    extensions: PairList | None = None


class BulkTransferWanted(Wanted, kw_only=True):
    """POST /bulkTransfers."""

    bulk_transfer_id: CorrelationId
    home_transaction_id: HomeId
    bulk_quote_id: CorrelationId
    from_: TransferParty = field(name="from")
    individual_transfers: Annotated[tuple[IndividualTransfer, ...], Meta(min_length=1, max_length=MAX_TRANSFERS)]
    extensions: PairList | None = None


class FxTransferWanted(Wanted, kw_only=True):
    """POST /fxTransfers. The document does not require `condition`, but the API does."""

    commit_request_id: CorrelationId
    determining_transfer_id: CorrelationId | None = None
    initiating_fsp: FspId
    counter_party_fsp: FspId
    source_amount: Money
    target_amount: Money
    condition: BinaryString32
    home_transaction_id: str | None = None


class Enabled(Wanted, kw_only=True):
    """An option that is on or off."""

    enabled: bool


class FeeLimit(Wanted, kw_only=True):
    """The highest fee of a payment.

    The connector accepts fees up to this amount without an answer from the front end.
    """

    currency: Currency
    amount: str


class AutoAcceptQuote(Wanted, kw_only=True):
    """Whether the connector accepts the terms without an answer from the front end."""

    enabled: bool
    per_transfer_fee_limits: tuple[FeeLimit, ...] = ()


class Options(Wanted, kw_only=True):
    """The options of POST /bulkTransactions."""

    auto_accept_party: Enabled
    auto_accept_quote: AutoAcceptQuote
    bulk_expiration: DateTime
    only_validate_party: bool = False
    skip_party_lookup: bool = False
    synchronous: bool | None = None


class TransactionItem(Wanted, kw_only=True):
    """One payment in the body of POST /bulkTransactions."""

    home_transaction_id: HomeId
    to: Party
    amount_type: AmountType
    currency: Currency
    amount: str
    reference: str | None = None
    note: Text128 | None = None
    quote_extensions: PairList | None = None
    transfer_extensions: PairList | None = None
    last_error: dict[str, Any] | None = None  # of an earlier attempt: the document allows it, and it has no effect


class BulkTransactionWanted(Wanted, kw_only=True):
    """POST /bulkTransactions."""

    bulk_home_transaction_id: HomeId = field(name="bulkHomeTransactionID")
    bulk_transaction_id: CorrelationId
    options: Options
    from_: Party = field(name="from")
    individual_transfers: Annotated[tuple[TransactionItem, ...], Meta(min_length=1, max_length=10_000)]
    extensions: PairList | None = None


class ItemAcceptance(Wanted, kw_only=True):
    """The front end's answer about one payment."""

    transfer_id: CorrelationId
    accept_party: bool | None = None
    accept_quote: bool | None = None


class BulkTransactionAcceptance(Wanted, kw_only=True):
    """PUT /bulkTransactions/{bulkTransactionId}."""

    individual_transfers: Annotated[tuple[ItemAcceptance, ...], Meta(min_length=1, max_length=10_000)]


def listed(found: PairList | None) -> ExtensionList | None:
    """Returns extensions in the API's form."""
    if found is None:
        return None
    return ExtensionList(extension=[Extension(key=pair.key, value=pair.value) for pair in found.extension])


def builtins(message: Any) -> Any:
    """Returns a message as JSON values, without fields that are None."""
    return msgspec.to_builtins(message)
