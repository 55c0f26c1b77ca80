"""The bodies of /participants (FSPIOP API v1.1, section 6.2)."""

from typing import Annotated

from msgspec import Meta

from fspiop.bodies.common import (
    CorrelationId,
    Currency,
    ErrorInformation,
    ExtensionList,
    FspId,
    Message,
    PartyIdInfo,
)

MAX_PARTIES = 10_000


class ParticipantPost(Message):
    """POST /participants/{Type}/{ID} (section 6.2.3.3); version 1.1 adds the extension list."""

    fsp_id: FspId
    currency: Currency | None = None
    extension_list: ExtensionList | None = None


class ParticipantsPost(Message):
    """POST /participants (section 6.2.3.2): many parties at once."""

    request_id: CorrelationId
    party_list: Annotated[list[PartyIdInfo], Meta(min_length=1, max_length=MAX_PARTIES)]
    currency: Currency | None = None


class ParticipantPut(Message):
    """PUT /participants/{Type}/{ID} (section 6.2.4.1): the result of a request about one party.

    According to the API, the answer has the field `fsp_id`. The reference hub's answers to GET and DELETE also have the
    field `fsp_id`. The reference hub's answers to POST and PUT have a list instead.
    """

    fsp_id: FspId | None = None
    party_list: Annotated[list[PartyIdInfo], Meta(max_length=MAX_PARTIES)] | None = None
    currency: Currency | None = None


class PartyResult(Message):
    """The result for one of the parties in a POST /participants (section 7.4.15)."""

    party_id: PartyIdInfo
    error_information: ErrorInformation | None = None


class ParticipantsPut(Message):
    """PUT /participants/{ID} (section 6.2.4.2): the answer to POST /participants."""

    party_list: Annotated[list[PartyResult], Meta(min_length=1, max_length=MAX_PARTIES)]
    currency: Currency | None = None
