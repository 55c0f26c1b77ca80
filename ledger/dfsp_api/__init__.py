"""The part of the hub's own API for DFSPs that shows positions and transfers."""
