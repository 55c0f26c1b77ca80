"""The ISO 20022 form of FSPIOP 2.0: the same resources, paths and headers, but different bodies.

The hub translates bodies only at the edges: `read` translates received messages, and `write` the hub's own messages. A
participant's message is never translated: it is forwarded unchanged.
"""

from fspiop.iso20022.reading import content, read, wire_of
from fspiop.iso20022.writing import write

__all__ = ["content", "read", "wire_of", "write"]
