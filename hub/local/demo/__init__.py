"""`make demo`: two banks behind their connectors pay each other through a whole hub. Then the demo compares all
books."""

from hub.local.demo.introduction import introduction
from hub.local.demo.run import add_fxp, bring_up, run

__all__ = ["add_fxp", "bring_up", "introduction", "run"]
