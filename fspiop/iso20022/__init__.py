"""The ISO 20022 form of FSPIOP 2.0. The bodies of the ISO 20022 form differ from the bodies of the plain form.

The resources, the paths and the headers are the same in both forms.

The hub translates bodies only when it reads or writes messages. `read` translates received messages, and `write`
translates the hub's own messages. The hub never translates or changes a message that it forwards.

The connector also uses `read` and `write`. For the requests and answers of the connector's DFSP, the connector also
uses `writing_requests_and_answers.write`.
"""

from fspiop.iso20022.reading import content, read, wire_of
from fspiop.iso20022.writing_states_and_errors import write

__all__ = ["content", "read", "wire_of", "write"]
