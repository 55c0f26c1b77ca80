"""The load generator of `make bench`, which sends whole transfers at a fixed rate through a hub's live processes."""
