"""The hub's own API for DFSPs at /dfsp/v1: certificates, signing keys, callback check, clock. The ledger and settlement
apps add resources about money, such as positions. The app `rules` adds resources about fraud."""
