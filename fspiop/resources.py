"""The resources of the FSPIOP API, in one table: versions, doors, endpoints and the proxy's template follow it.

FSPIOP API v1.1, section 6; v2.0 adds the resources of currency conversion and the ISO 20022 forms. To add a resource:
a row here, its URLs in `hub.dfsp_urls`, its endpoint types in `hub.participants.endpoints`. Tests compare them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Iso20022(Enum):
    """What version 2.0 of a resource has of ISO 20022."""

    NOTHING = "nothing"
    MEDIA_TYPE = "media type"  # the media type may say so, the bodies are the plain ones
    BODIES = "bodies"  # the media type says so, and the bodies are ISO 20022 messages


@dataclass(frozen=True)
class Resource:
    """`name` is the first segment of the path; `ids` name the segments behind it, as endpoint templates write them."""

    name: str
    first_version: int = 1  # the first major version that has it
    iso20022: Iso20022 = Iso20022.NOTHING
    ids: tuple[str, ...] = ("id",)


_PARTY = ("partyIdType", "partyIdentifier", "partySubIdOrType")
RESOURCES: Mapping[str, Resource] = MappingProxyType(
    {
        resource.name: resource
        for resource in (
            Resource("participants", iso20022=Iso20022.MEDIA_TYPE, ids=_PARTY),
            Resource("parties", iso20022=Iso20022.BODIES, ids=_PARTY),
            Resource("transactionRequests"),
            Resource("quotes", iso20022=Iso20022.BODIES),
            Resource("authorizations"),
            Resource("transfers", iso20022=Iso20022.BODIES, ids=("transferId",)),
            Resource("transactions"),
            Resource("bulkQuotes"),
            Resource("bulkTransfers"),
            Resource("fxQuotes", first_version=2, iso20022=Iso20022.BODIES),
            Resource("fxTransfers", first_version=2, iso20022=Iso20022.BODIES, ids=("commitRequestId",)),
            Resource("services", first_version=2),
        )
    }
)


def has_iso20022_bodies(name: str) -> bool:
    """Whether version 2.0 of this resource has ISO 20022 messages as bodies."""
    return name in RESOURCES and RESOURCES[name].iso20022 is Iso20022.BODIES
