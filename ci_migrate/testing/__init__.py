"""For authors of plugins: conformance suites, and small projects to run the gate in. They need the extra `pytest`."""
