"""The commands of `kitovu-connector`, by what they are about."""
