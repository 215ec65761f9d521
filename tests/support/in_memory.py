"""A folder where files cost no fsync: a migration syncs hundreds of times, and each may take milliseconds."""

import os
import shutil

ROOM = 6 << 30
"""Bytes that the tests and their servers need there, with some to spare."""


def _folder_in_memory() -> str | None:
    """None where there is no such folder, or no room in it: then it is the system's temporary folder."""
    place = "/dev/shm"
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        return None
    return place if free > ROOM and os.access(place, os.W_OK) else None


IN_MEMORY = _folder_in_memory()
