"""The pages of the bank's web site. Most modules contain the pages of one role."""
