"""The ISO 20022 form of FSPIOP 2.0. In the ISO 20022 form, only the bodies differ from the plain form.

The ISO 20022 form and the plain form have the same resources, paths and headers.

The hub translates bodies only when it reads or writes messages. `read` translates received messages, and `write`
translates the hub's own messages. The hub never translates or changes a message that it forwards.

The connector uses the same two functions, and `payment_messages.write` for the requests and answers of a DFSP.
"""

from fspiop.iso20022.reading import content, read, wire_of
from fspiop.iso20022.writing import write

__all__ = ["content", "read", "wire_of", "write"]
