"""The language of rule sets. Rules are typed data. The hub never executes the text of a rule as code.

Pure Python without Django.
"""
