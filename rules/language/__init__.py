"""The language of rule sets. Rules are typed data. The hub never executes a rule's text as code.

Pure Python without Django.
"""
