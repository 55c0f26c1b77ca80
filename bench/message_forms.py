"""The two forms of the API's messages for a load."""

from bench.iso20022_messages import ISO20022
from bench.messages import PLAIN, Form


def form_of(iso20022: bool) -> Form:
    """Returns the form of messages for a run."""
    return ISO20022 if iso20022 else PLAIN
