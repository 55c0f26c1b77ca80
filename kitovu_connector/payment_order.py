"""A core's order for a payment, and the form in which the connector stores parties."""

from typing import Literal

import msgspec

from fspiop.bodies.common import (
    AmountType,
    Extension,
    ExtensionList,
    Party,
    PartyComplexName,
    PartyIdInfo,
    PartyIdType,
    PartyPersonalInfo,
    Refund,
    TransactionType,
)
from kitovu_connector import party_identifiers
from kitovu_connector.party_identifiers import Alias

Scenario = Literal["DEPOSIT", "WITHDRAWAL", "TRANSFER", "PAYMENT", "REFUND"]
Initiator = Literal["PAYER", "PAYEE"]
InitiatorType = Literal["CONSUMER", "AGENT", "BUSINESS", "DEVICE"]
Extensions = tuple[tuple[str, str], ...]  # key and value


class PartyRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A party: the type of its alias, the alias, and every party field of the API."""

    id_type: PartyIdType
    id_value: str
    sub_id: str | None = None
    name: str | None = None
    fsp_id: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    date_of_birth: str | None = None
    kyc_information: str | None = None
    merchant_classification_code: str | None = None
    currencies: tuple[str, ...] = ()
    extensions: Extensions = ()

    @property
    def alias(self) -> Alias:
        """The party's alias."""
        return self.id_type, self.id_value, self.sub_id


class OrderBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that an order has in its stored form and in the Python API."""

    home_id: str
    payer: PartyRef
    payee: PartyRef
    currency: str
    amount_type: AmountType = "SEND"
    scenario: Scenario = "TRANSFER"
    sub_scenario: str | None = None
    initiator: Initiator = "PAYER"
    initiator_type: InitiatorType = "CONSUMER"
    refunded_transaction_id: str | None = None
    refund_reason: str | None = None
    balance_of_payments: str | None = None
    note: str | None = None
    quote_extensions: Extensions = ()
    transfer_extensions: Extensions = ()
    skip_lookup: bool = False  # the order already contains the payee's DFSP
    may_convert: bool = False  # if payer and payee have no common currency, an FXP converts the amount
    transaction_request_id: str | None = None  # if this payment answers a request to pay: the request's id
    home_request_id: str | None = None  # if this payment answers a request to pay: the core's own id of it
    needs_password: bool = False  # the payer enters a one-time password at the payee's device
    needs_password_confirmation: bool = False  # the connector pays only after the core has accepted the password
    quote_expiry_s: float | None = None  # these four times replace the settings
    transfer_expiry_s: float | None = None
    fx_quote_expiry_s: float | None = None
    fx_transfer_expiry_s: float | None = None
    expires_at: float | None = None  # the connector does not send the transfer after this time


class Order(OrderBase, frozen=True, kw_only=True, omit_defaults=True):
    """A core's order in its stored form: the payer, the payee, the kind of payment, the core's own id of the payment,
    and the amounts in ten-thousandths.
    """

    amount: int
    # for RECEIVE: the largest transfer amount, including fees. By default, there is no limit if `needs_confirmation` is
    # true, and otherwise the limit is `amount`, which permits no fees
    max_amount: int | None = None
    fee_limit: int | None = None  # terms with a higher fee end the payment
    needs_confirmation: bool = False  # the connector pays only after the core has confirmed the terms
    needs_payee_confirmation: bool = False  # the connector requests terms only after the core has accepted the payee
    # the connector starts a conversion only after the core has accepted the conversion's terms
    needs_conversion_confirmation: bool = False
    agreed_transfer: bytes = b""  # the body of POST /transfers, if the front end itself has agreed on the terms


def spelled(order: Order) -> Order:
    """Returns the order with one standard spelling of each identifier. So the connector recognises a repeated order
    even if it spells an identifier in another way.
    """
    return msgspec.structs.replace(order, payer=_spelled(order.payer), payee=_spelled(order.payee))


def _spelled(party: PartyRef) -> PartyRef:
    return msgspec.structs.replace(party, id_value=party_identifiers.spelling(party.id_type, party.id_value))


def transaction_type_of(order: Order) -> TransactionType:
    """Returns the transaction type of the payment, in the API's form."""
    refund = None
    if order.refunded_transaction_id is not None:
        refund = Refund(original_transaction_id=order.refunded_transaction_id, refund_reason=order.refund_reason)
    return TransactionType(
        scenario=order.scenario,
        initiator=order.initiator,
        initiator_type=order.initiator_type,
        sub_scenario=order.sub_scenario,
        refund_info=refund,
        balance_of_payments=order.balance_of_payments,
    )


def party_of(ref: PartyRef) -> Party:
    """Returns the complete party in the API's form."""
    names = PartyComplexName(first_name=ref.first_name, middle_name=ref.middle_name, last_name=ref.last_name)
    has_names = bool(ref.first_name or ref.middle_name or ref.last_name)
    is_known = has_names or ref.date_of_birth or ref.kyc_information
    return Party(
        party_id_info=PartyIdInfo(
            party_id_type=ref.id_type,
            party_identifier=ref.id_value,
            party_sub_id_or_type=ref.sub_id,
            fsp_id=ref.fsp_id,
            extension_list=extension_list(ref.extensions),
        ),
        name=ref.name,
        merchant_classification_code=ref.merchant_classification_code,
        personal_info=PartyPersonalInfo(
            complex_name=names if has_names else None,
            date_of_birth=ref.date_of_birth,
            kyc_information=ref.kyc_information,
        )
        if is_known
        else None,
        supported_currencies=list(ref.currencies) or None,
    )


def ref_of(party: Party) -> PartyRef:
    """Returns the stored form of an API party."""
    info, person = party.party_id_info, party.personal_info or PartyPersonalInfo()
    names = person.complex_name or PartyComplexName()
    return PartyRef(
        id_type=info.party_id_type,
        id_value=info.party_identifier,
        sub_id=info.party_sub_id_or_type,
        name=party.name,
        fsp_id=info.fsp_id,
        first_name=names.first_name,
        middle_name=names.middle_name,
        last_name=names.last_name,
        date_of_birth=person.date_of_birth,
        kyc_information=person.kyc_information,
        merchant_classification_code=party.merchant_classification_code,
        currencies=tuple(party.supported_currencies or ()),
        extensions=extensions_of(info.extension_list),
    )


def extension_list(extensions: Extensions) -> ExtensionList | None:
    """Returns the extensions in the API's form, or None if there are none."""
    found = [Extension(key=key, value=value) for key, value in extensions]
    return ExtensionList(extension=found) if found else None


def extensions_of(found: ExtensionList | None) -> Extensions:
    """Returns the stored form of an API extension list."""
    return tuple((extension.key, extension.value) for extension in found.extension) if found is not None else ()
