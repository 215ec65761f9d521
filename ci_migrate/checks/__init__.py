"""One check per file, one code each."""
