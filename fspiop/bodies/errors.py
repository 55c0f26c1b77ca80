"""The body of every PUT .../error (FSPIOP API v1.1, section 7.6)."""

from fspiop.bodies.common import ErrorInformation, Message


class ErrorPut(Message):
    """Why a request failed, told to who asked."""

    error_information: ErrorInformation
