"""`make demo`: two banks, each behind a connector, pay each other through a complete hub. At the end, the demo compares
the books of the banks and of the hub."""

from hub.local.demo.introduction import introduction
from hub.local.demo.run import add_fxp, bring_up, run

__all__ = ["add_fxp", "bring_up", "introduction", "run"]
