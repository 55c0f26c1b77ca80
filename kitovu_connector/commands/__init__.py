"""The commands of `kitovu-connector`, grouped by subject."""
