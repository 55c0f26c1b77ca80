"""The errors that a program can get from the connector's Python API.

Every call of `kitovu_connector.Connector` raises only these errors. Each error belongs to one of three branches. The
branch states what the program must do:

    ConnectorError
      NothingBegun    the call has begun no payment and changed nothing: correct the cause
        AliasRefused, AmountError, ConfigError, InvalidRequest, LookupFailed, NoSuchPayment, StartError
      DoNotRefund     a payment with this id exists: keep the payer's money set aside until the payment has ended
        AlreadySent, Conflict, PasswordRefused
      AskAgain        no answer yet: keep the money set aside, and make the same call again; nothing is done twice
        CallFailed, NoTermsYet, NotRunning, Unanswered

An error that the HTTP API also returns to the core is an `FspiopError` too, with a code of the API.
"""

from fspiop.errors import ErrorCode, FspiopError

NO_ANSWER_YET = {
    error.code: error
    for error in (
        ErrorCode.COMMUNICATION_ERROR,
        ErrorCode.DESTINATION_COMMUNICATION_ERROR,
        ErrorCode.SERVICE_UNAVAILABLE,
        ErrorCode.SERVER_TIMED_OUT,
        ErrorCode.SERVER_BUSY,
        ErrorCode.TEMPORARY_PARTY_RESOLUTION_FAILURE,
    )
}
"""The errors of the API after which a repeated request can succeed."""


class ConnectorError(Exception):
    """An error that the connector's Python API raises."""


class NothingBegun(ConnectorError):
    """The call has begun no payment and changed nothing. Correct the cause. The payer's money need not stay set aside
    for this call.
    """


class DoNotRefund(ConnectorError):
    """A payment with this id exists. It can still be made, or is made. The payer's money must stay set aside until
    `payment(home_id)` shows the payment's end.
    """


class AskAgain(ConnectorError):
    """There is no answer yet. The payer's money must stay set aside. Make the same call again later. A repeated call
    does nothing twice.
    """


class InvalidRequest(NothingBegun, FspiopError):
    """An argument of a call has a form that the API does not allow."""

    def __init__(self, text: str, error: ErrorCode = ErrorCode.VALIDATION_ERROR) -> None:
        super().__init__(error, text)


class NoSuchPayment(NothingBegun, FspiopError):
    """No payment has this id."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.ID_NOT_FOUND, "no such payment", http_status=404)


class AlreadySent(DoNotRefund, FspiopError):
    """The payment cannot be cancelled, because the hub may already have its transfer."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.CLIENT_ERROR, "the payment was sent already", http_status=409)


class PasswordRefused(DoNotRefund, FspiopError):
    """The one-time password is not the password that the payer has entered. The payment waits until it is confirmed or
    cancelled.
    """

    def __init__(self, text: str) -> None:
        super().__init__(ErrorCode.CLIENT_ERROR, f"otp: {text}", http_status=409)


class NoTermsYet(AskAgain, FspiopError):
    """The payment cannot be confirmed yet, because its terms have not arrived."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.CLIENT_ERROR, "there are no terms yet", http_status=409)


class Unanswered(AskAgain, FspiopError):
    """The hub or the other DFSP has not answered in time, or cannot answer now."""


class NotRunning(AskAgain):
    """The connector is not started, or was stopped during the call. Payments that had begun continue after the next
    start.
    """


class CallFailed(AskAgain):
    """The connector could not complete the call, for example because its database does not answer. The connector's log
    has the cause. It is not known whether the call had an effect.
    """
