"""The bodies of /services (FSPIOP API v2.0): the participants that provide a service of the scheme."""

from typing import Annotated

from msgspec import Meta

from fspiop.bodies.common import FspId, Message

MAX_PROVIDERS = 16


class ServicesFxpPut(Message):
    """PUT /services/FXP[/{SourceCurrency}/{TargetCurrency}]: the participants that convert currencies."""

    providers: Annotated[list[FspId], Meta(max_length=MAX_PROVIDERS)]
