"""The errors that a core raises to the connector. A core in Python raises them in the methods of its `Backend`.

    CoreError
      Refused          the core's final refusal, with a code: the other DFSP gets this code
      Unavailable      the outcome is unknown: the connector repeats the call
      NotUnderstood    the core cannot give a usable answer: a repeated call would get an equal answer

Any other exception counts as a fault of the core.
"""


class CoreError(Exception):
    """An error that a core raises to the connector."""


class Refused(CoreError):
    """The core's definite refusal, with an FSPIOP code (5104 payee rejected transaction, 5200 payee limit, ...).

    If `is_perhaps_done` is true, the core may have reserved the money before the call failed. The connector then sends
    the core a request to release the money.
    """

    def __init__(self, code: str, text: str, *, is_perhaps_done: bool = False) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text, self.is_perhaps_done = code, text, is_perhaps_done


class Unavailable(CoreError):
    """The error for a call whose outcome at the core is unknown.

    The connector repeats the call, so the core must be idempotent by transfer id.
    """


class NotUnderstood(CoreError):
    """The error for an unreadable answer of the core. The connector refuses the request, because a repeated call would
    get an equal answer.
    """
