"""A folder where files cost no fsync: a migration syncs hundreds of times, and each may take milliseconds."""

import os

ROOM = 6 << 30
"""Bytes that the tests and their servers need there, with some to spare."""


def _folder_in_memory() -> str | None:
    """None where there is none that serves: then it is the system's temporary folder."""
    place = "/dev/shm"
    try:
        found = os.statvfs(place)
    except OSError:
        return None
    runs_programs = (
        not found.f_flag & os.ST_NOEXEC
    )  # containers often forbid it there, and tests write scripts
    has_room = found.f_bavail * found.f_frsize > ROOM
    return place if has_room and runs_programs and os.access(place, os.W_OK) else None


IN_MEMORY = _folder_in_memory()
