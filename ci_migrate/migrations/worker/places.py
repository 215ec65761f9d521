"""Which files are inputs of a migration, and by which name each of them goes.

An input is what decides what a migration does and can be changed without changing the interpreter or the machine:

- Python code is one wherever it lies, unless it is the interpreter's own: the standard library, and what is installed
  in site-packages (a distribution stands for it, by name and version). An editable installation lies elsewhere: its
  files are inputs.
- So is what is read as data, unless it is the interpreter's, the machine's (`SYSTEM`: zones, certificates, resolvers,
  mounted secrets, which rightly differ between two machines) or the account's own (`~/.name`: credentials).
- The project's folder and the folders of the revision scripts come first: what is in them is an input, also where the
  project is below /usr, or the scripts are in site-packages. The longest folder decides, links followed or not.
- What is no regular file (a device, a pipe, a folder) is none; neither are the databases of the request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from .blame import both_forms, interpreter_folders

SYSTEM = (
    "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc", "/sys", "/run", "/var/run",
    "/nix/store", "/System", "/Library",
)  # fmt: skip
"""The machine's own. What is read there is data of the machine; Python code there is an input all the same."""

NOT_SYSTEM = ("/usr/src", "/usr/local/src")
"""Where images of containers keep applications."""

PREFIX_PARTS = (
    "bin", "lib", "lib64", "libexec", "share", "include", "etc", "ssl", "Lib", "DLLs", "Scripts", "pyvenv.cfg",
)  # fmt: skip
"""What belongs to an interpreter below its prefix. Not all of it: pip checks editable sources out into `src` there."""

OURS, INTERPRETER, MACHINE = "ours", "interpreter", "machine"


class Places:
    """Tells inputs from all other files."""

    def __init__(self, project: str, databases: Iterable[dict[str, Any]]) -> None:
        self.projects = sorted(both_forms([project]), key=len, reverse=True)
        self.home = os.path.join(os.path.expanduser("~"), ".")
        self._kind = dict.fromkeys(both_forms(SYSTEM), MACHINE)
        self._kind.update(dict.fromkeys(NOT_SYSTEM, OURS))
        for prefix in {sys.prefix, sys.base_prefix}:
            parts = both_forms(os.path.join(prefix, name) for name in PREFIX_PARTS)
            self._kind.update(dict.fromkeys(parts, INTERPRETER))
        self._kind.update(dict.fromkeys(interpreter_folders(), INTERPRETER))
        self._kind.update(dict.fromkeys(self.projects, OURS))
        self._of_folder: dict[str, tuple[str | None, bool]] = {}
        files = [entry[name].get("file") for entry in databases for name in ("match", "connect", "identity")]
        self._databases = {
            form + end for form in both_forms(filter(None, files)) for end in ("", "-wal", "-shm", "-journal")
        }

    def add_scripts(self, folders: Iterable[str]) -> None:
        """What is in these folders is an input, wherever they are."""
        self._kind.update(dict.fromkeys(both_forms(folders), OURS))
        self._of_folder.clear()

    def is_input(self, path: str, *, code: bool) -> bool:
        """Whether an absolute path is an input: as Python code, or as something that is read."""
        folder = os.path.dirname(path)
        known = self._of_folder.get(folder)
        if known is None:
            # a link in site-packages that leads back into the project is the project's
            linked = self._kind_of(os.path.realpath(folder)) == OURS
            known = self._of_folder[folder] = (self._kind_of(folder), linked)
        if self._kind.get(path) == INTERPRETER:  # pyvenv.cfg, where the environment lies in the project
            return False
        kind, linked = known
        # asked of each file, unlike its folder: one link in a folder of the interpreter's says nothing of the others
        if not linked and kind in (INTERPRETER, MACHINE) and os.path.islink(path):
            linked = self._kind_of(os.path.realpath(path)) == OURS
        if linked or kind == OURS:
            return path not in self._databases
        if kind == INTERPRETER or (not code and (kind == MACHINE or path.startswith(self.home))):
            return False
        return path not in self._databases

    def _kind_of(self, path: str) -> str | None:
        while path not in self._kind:
            parent = os.path.dirname(path)
            if parent == path:
                return None
            path = parent
        return self._kind[path]

    def name_of(self, path: str) -> str:
        """The name by which an input goes: relative to the project where it is inside, POSIX; else the whole path."""
        for project in self.projects:
            if path.startswith(project.rstrip(os.sep) + os.sep):
                path = path[len(project.rstrip(os.sep)) + 1 :]
                break
        # a file's name may hold bytes that no text has
        return path.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode("utf-8")
