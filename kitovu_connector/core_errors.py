"""The errors that a request to the core can raise."""


class Refused(Exception):
    """The core's definite refusal, with an FSPIOP code (5104 payee rejected transaction, 5200 payee limit, ...).

    If `is_perhaps_done` is true, the core may have reserved the money before the call failed. The connector then sends
    the core a request to release the money.
    """

    def __init__(self, code: str, text: str, *, is_perhaps_done: bool = False) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text, self.is_perhaps_done = code, text, is_perhaps_done


class Unavailable(Exception):
    """The error for a call whose outcome at the core is unknown.

    The connector repeats the call, so the core must be idempotent by transfer id.
    """


class NotUnderstood(Exception):
    """The error for an unreadable answer of the core. The connector refuses the request, because a repeated call would
    get an equal answer.
    """
