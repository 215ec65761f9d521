"""Which line of the project is to blame: for a failure, and for a statement."""

from __future__ import annotations

import linecache
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from typing import Any


class Blame:
    """Tells the project's files from those of the interpreter, of installed packages and of ours.

    By the folders in which those really live, never by a word in a path: a project may call its script folder
    "alembic", as Alembic's tutorial does. The longest of the folders that hold a file decides, so that scripts inside
    of site-packages are the project's, and an environment inside of the script folder is not.
    """

    def __init__(self) -> None:
        self.revision_file: str | None = None  # of the revision that runs
        self.revision_code: str | None = None  # the same as tracebacks have it
        self._is_project = dict.fromkeys(library_folders(), False)
        self._known: dict[str, bool] = {}
        self._loaded: tuple[int, str] = (0, "")

    def add_scripts(self, script: Any) -> None:
        """The folders of Alembic's ScriptDirectory are the project's."""
        folders = [script.dir, *(script.version_locations or ())]
        self._is_project.update(dict.fromkeys((os.path.abspath(str(folder)) for folder in folders), True))
        self._known.clear()

    def is_project(self, file: str) -> bool:
        """Whether a code's file is the project's. `<string>` and the like are nobody's."""
        if file not in self._known:
            self._known[file] = not file.startswith("<") and self._decide(os.path.abspath(file))
        return self._known[file]

    def read_loaded(self) -> str:
        """The source of the project's modules that are imported."""
        if self._loaded[0] != len(sys.modules):
            files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
            own = sorted(file for file in files if isinstance(file, str) and self.is_project(file))
            self._loaded = len(sys.modules), "\n".join("".join(linecache.getlines(file)) for file in own)
        return self._loaded[1]

    def _decide(self, file: str) -> bool:
        place = file
        while place not in self._is_project:
            parent = os.path.dirname(place)
            if parent == place:
                return True
            place = parent
        return self._is_project[place]

    def find_site(self, outside: bool) -> tuple[str | None, int | None]:
        """File and line in the revision that sends a statement now.

        Where `outside` says that no revision runs: the innermost line of the project, in env.py most of the time.
        """
        frame: Any = sys._getframe(1)
        innermost: tuple[str | None, int | None] = (None, None)
        while frame is not None:
            name = frame.f_code.co_filename
            if self.revision_file and name in (self.revision_file, self.revision_code):
                return self.revision_file, frame.f_lineno
            if innermost[0] is None and self.is_project(name):
                innermost = (name, frame.f_lineno)
            frame = frame.f_back
        return innermost if outside else (None, None)

    def find_culprit(self, frames: list[traceback.FrameSummary]) -> traceback.FrameSummary | None:
        """The innermost frame in the revision, else in the project; None where nothing of it ran."""
        own = [
            f for f in frames if self.revision_file and f.filename in (self.revision_file, self.revision_code)
        ]
        own = own or [f for f in frames if self.is_project(f.filename)]
        return own[-1] if own else None

    def select_frames(self, frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
        """The project's own frames and the innermost one: how Alembic got there is the same each time."""
        own = [f for f in frames[:-1] if self.is_project(f.filename)]
        return [*own, *frames[-1:]] if own else frames


def library_folders() -> set[str]:
    """Where the interpreter's library, the installed packages and our own files are; Alembic wherever it is."""
    loaded = [sys.modules[n].__file__ or "" for n in ("alembic", "sqlalchemy") if n in sys.modules]
    return interpreter_folders() | both_forms(map(os.path.dirname, loaded))


def interpreter_folders() -> set[str]:
    """Where the interpreter's library, its site-packages and our own files are."""
    paths = sysconfig.get_paths()
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [os.path.dirname(os.__file__), os.path.dirname(os.path.abspath(__file__))]
    # an environment made with --system-site-packages has those of its base as well
    prefixes = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    return both_forms([*found, *site.getsitepackages(prefixes), site.getusersitepackages()])


def both_forms(folders: Iterable[str]) -> set[str]:
    """Each folder as it is written, and as it is where links are followed."""
    return {
        form for folder in folders if folder for form in (os.path.abspath(folder), os.path.realpath(folder))
    }
