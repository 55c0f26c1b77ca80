"""The ISO 20022 form of FSPIOP 2.0: the same resources, paths and headers, other bodies.

Bodies are translated at the two edges, on the way in by `read` and where the hub speaks itself by `write`. What a
participant wrote is never translated: it is passed on as it came.
"""

from fspiop.iso20022.reading import content, read, wire_of
from fspiop.iso20022.writing import write

__all__ = ["content", "read", "wire_of", "write"]
