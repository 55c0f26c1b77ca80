"""A table of the FSPIOP API's resources. The table defines each resource's versions, routes, endpoints and proxy
configuration.

FSPIOP API v1.1, section 6, describes the resources. Version 2.0 of the API adds the resources for currency conversion
and the ISO 20022 forms. To add a resource, add a row to the table, the resource's URLs in `hub.dfsp_urls`, and the
resource's endpoint types in `hub.participants.endpoint_types_and_urls`. Tests check that the table, the URLs and the
endpoint types agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Iso20022(Enum):
    """How version 2.0 of a resource uses ISO 20022."""

    NOTHING = "nothing"
    MEDIA_TYPE = "media type"  # the media type may name ISO 20022, but bodies have the plain form
    BODIES = "bodies"  # the media type names ISO 20022, and bodies are ISO 20022 messages


@dataclass(frozen=True)
class Resource:
    """A resource.

    `name` is the path's first segment. `ids` are the names of the other segments in endpoint templates.
    """

    name: str
    first_version: int = 1  # the first major version of the API that has this resource
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
    """Returns whether bodies of version 2.0 of this resource are ISO 20022 messages."""
    return name in RESOURCES and RESOURCES[name].iso20022 is Iso20022.BODIES
