"""The ISO 20022 form of FSPIOP 2.0: the same resources, paths and headers, but different bodies.

The hub translates bodies only when it reads or writes messages. `read` translates received messages, and `write`
translates the hub's own messages. A message that the hub forwards is never translated or changed.
"""

from fspiop.iso20022.reading import content, read, wire_of
from fspiop.iso20022.writing import write

__all__ = ["content", "read", "wire_of", "write"]
