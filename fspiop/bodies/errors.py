"""The body of every PUT .../error (FSPIOP API v1.1, section 7.6)."""

from fspiop.bodies.common import ErrorInformation, Message


class ErrorPut(Message):
    """PUT .../error: reports to the requester why a request failed."""

    error_information: ErrorInformation
