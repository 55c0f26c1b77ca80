"""What a call of the core can end with, besides an answer."""


class Refused(Exception):
    """The core's definite refusal, with an FSPIOP code (5104 payee rejected transaction, 5200 payee limit, ...).

    If `is_perhaps_done`, the core may have reserved the money before it failed. It is then told to release the money.
    """

    def __init__(self, code: str, text: str, *, is_perhaps_done: bool = False) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text, self.is_perhaps_done = code, text, is_perhaps_done


class Unavailable(Exception):
    """The outcome at the core is unknown. The connector retries, so the core must be idempotent by transfer id."""


class NotUnderstood(Exception):
    """The core's answer cannot be read, and a repeated request would get the same answer. Nothing is accepted."""
