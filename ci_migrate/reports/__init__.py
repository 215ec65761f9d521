"""Reports: pure functions of a finished Report."""
