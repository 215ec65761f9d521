"""Fleets: many databases with the same scripts, each migrated by the gate as if it were alone."""
