"""The connector, which an existing DFSP runs to exchange messages with an FSPIOP hub. It imports only `fspiop`."""
