"""A fulfilment and its condition, and others that do not fit."""

from fspiop import ilp

PACKET = "AYIBgQAAAAAAAASwNGxldmVsb25lLmRmc3AxLm1lci45T2RTOF81MDdqUUZERmZlakgyOVc4bXFmNEpLMHlGTFGCAUBQU0svMS4wCk5vbmNl"
FULFILMENT = ilp.fulfilment_for(PACKET, b"a secret of blue's")
CONDITION = ilp.condition_for(FULFILMENT)
OTHER_FULFILMENT = ilp.fulfilment_for(PACKET, b"another secret")
