"""Conformance suites for authors of plugins: they run with pytest and need the extra `pytest`."""
