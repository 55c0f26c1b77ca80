"""The language of rule sets. Rules are typed data. No text of a rule is ever executed. Pure Python without Django."""
