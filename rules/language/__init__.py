"""The language of rule sets. Rules are typed data. The hub never executes the text of a rule as code.

The modules of this language are pure Python and do not use Django.
"""
