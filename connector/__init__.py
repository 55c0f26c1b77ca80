"""The connector: what an existing DFSP hosts to talk to an FSPIOP hub. Imports `fspiop` only."""
