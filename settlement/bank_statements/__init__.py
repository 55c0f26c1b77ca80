"""What the settlement bank says that it moved, beside what a settlement expects."""
