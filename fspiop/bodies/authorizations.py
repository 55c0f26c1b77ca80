"""The bodies and the query of /authorizations (FSPIOP API v1.1, section 6.6)."""

from typing import Annotated, Literal

from msgspec import Meta

from fspiop.bodies.common import Amount, AuthenticationType, Currency, Message


class U2fPin(Message):
    """The payer's answer to a U2F challenge (FSPIOP API v2.0)."""

    pin_value: Annotated[str, Meta(pattern=r"^\S{1,64}\Z")]
    counter: Annotated[str, Meta(pattern=r"^[1-9][0-9]*\Z")]


class AuthenticationInfo(Message):
    """The value that the payer entered to authorize a payment (section 7.4.1).

    An OTP has only digits. A QR code is any text without spaces.
    """

    authentication: AuthenticationType
    authentication_value: Annotated[str, Meta(pattern=r"^\S{1,64}\Z")] | U2fPin


class AuthorizationPut(Message):
    """PUT /authorizations/{ID} (section 6.6.4.1): whether the payer entered the value, refused, or wants a new
    value."""

    response_type: Literal["ENTERED", "REJECTED", "RESEND"]
    authentication_info: AuthenticationInfo | None = None


class AuthorizationQuery(Message):
    """The query of GET /authorizations/{ID} (section 6.6.3.1); every parameter is mandatory."""

    authentication_type: AuthenticationType
    retries_left: Annotated[int, Meta(ge=1, le=999_999)]
    amount: Amount
    currency: Currency
