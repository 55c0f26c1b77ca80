"""A part of the hub's own API for DFSPs: positions and transfers."""
