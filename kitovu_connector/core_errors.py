"""The errors that calls of the core can raise."""


class Refused(Exception):
    """The core's definite refusal, with an FSPIOP code (5104 payee rejected transaction, 5200 payee limit, ...).

    If `is_perhaps_done`, the core perhaps reserved the money before the call failed. After a refusal with
    `is_perhaps_done`, the connector calls the core to release the money.
    """

    def __init__(self, code: str, text: str, *, is_perhaps_done: bool = False) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text, self.is_perhaps_done = code, text, is_perhaps_done


class Unavailable(Exception):
    """The error if the outcome at the core is unknown.

    The connector repeats the call, so the core must be idempotent by transfer id.
    """


class NotUnderstood(Exception):
    """The error if the answer of the core is unreadable. If the connector repeated the call, it would get an equal
    answer.

    The connector accepts nothing.
    """
