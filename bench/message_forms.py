"""The two forms of messages that a load can use: plain messages and ISO 20022 messages."""

from bench.iso20022_messages import ISO20022
from bench.messages import PLAIN, Form


def form_of(iso20022: bool) -> Form:
    """Returns the form of messages for a run."""
    return ISO20022 if iso20022 else PLAIN
