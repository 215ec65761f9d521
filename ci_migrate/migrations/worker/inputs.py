"""The inputs of this run: each file that is executed or read is hashed first, and stops the run if it may not be.

`places.py` says which files count. What is seen:

- Python source: read once, hashed, compiled from those very bytes. A cached `.pyc` is never used, so that one whose
  header says "do not check me" has no effect; where there is no source the bytes of the `.pyc` are hashed.
- Any other file at the moment in which Python opens it (an audit hook): data, archives on `sys.path`, modules in C. It
  is hashed by its path right before, so that somebody who swaps it within those microseconds is not noticed.
- Programs that are started, and files that are named in their arguments.

What is not seen: what a program that was started reads itself, what a library in C opens without Python (libpq's
certificates and password files), what a process that was forked or started does, the network, the environment. It is
no sandbox: it holds that what was approved is what runs, as long as code that was approved does not work against it.

What this process made itself is no input; the parent is told of it, since a later process may read it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from shlex import split
from stat import S_ISREG
from typing import Any

from .channel import Channel, Refused
from .places import Places

CHUNK = 1 << 20


class InputRefused(Refused):
    """A file is not what was approved, or was not among it."""


class Inputs:
    """What this process executed and read, held against what it may."""

    def __init__(self, channel: Channel, setup: dict[str, Any]) -> None:
        self.files: dict[str, str] = {}
        self.distributions: dict[str, str] = {}
        self.codes: dict[str, Any] = {}  # by the name of the file as tracebacks have it
        self._compiled: dict[str, tuple[bytes, Any]] = {}
        self._own: dict[str, str] = {}  # what this process made: path by its resolved form
        self._hashed: dict[str, tuple[Any, str]] = {}
        self._local = threading.local()
        self.turn_to(channel, setup)

    def turn_to(self, channel: Channel, setup: dict[str, Any]) -> None:
        """Which run's they are from now on; what was seen so far is seen."""
        expected = setup["inputs"]
        self.channel = channel
        self.places = Places(expected["project"] or os.getcwd(), setup["databases"])
        self.expected: dict[str, str] = expected["files"]
        self.closed: bool = expected["closed"]  # a file that is not among the expected ones is refused
        self.wanted: dict[str, str] = expected["distributions"]
        # the first refusal, in words: a project that swallows it goes no further all the same
        self.refused = ""
        self.programs: bool = setup.get("programs", True)  # may be started
        self.wanted_program = False  # one was to be started all the same
        self._stopped = False

    # ----------------------------------------------------------------- from the start to the end

    def watch(self) -> None:
        """From here on. What Python imported when it started is looked at now."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and self.places.is_input(os.path.abspath(file), code=True):
                self.read(file, code=True)
        self._take_over_loaders()
        handlers: dict[str, Callable[..., None]] = {
            "open": self._on_open,
            "os.mkdir": lambda path, *_: self._make(path),
            "os.rename": lambda source, target, *_: self._on_rename(source, target),
            "import": lambda _name, file, *_: self._on_library(file),
            "ctypes.dlopen": self._on_library,
            "subprocess.Popen": lambda program, arguments, cwd, _env: self._on_program(
                program, arguments, cwd
            ),
            "os.system": lambda command: self._on_program(None, command, None),
            "os.exec": lambda path, arguments, _env: self._on_program(path, arguments, None),
            "os.posix_spawn": lambda path, arguments, _env: self._on_program(path, arguments, None),
            "os.spawn": lambda _mode, path, arguments, _env: self._on_program(path, arguments, None),
        }
        local = self._local

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            handle = handlers.get(event)
            if handle is None or self._stopped or getattr(local, "busy", False):
                return
            local.busy = True
            try:
                handle(*arguments)
            finally:
                local.busy = False

        sys.addaudithook(audit)

    def stop(self) -> None:
        """No further: what comes now are tracebacks, which read source files again."""
        self._stopped = True

    def report(self) -> None:
        """Tell the parent."""
        self.stop()
        name_of = self.places.name_of
        made = {name_of(path): self._digest(path) or "" for path in self._own.values() if is_regular(path)}
        self.channel.send("inputs", files=self.files, made=made, distributions=self.distributions)

    # ----------------------------------------------------------------- code

    def _take_over_loaders(self) -> None:
        loader: Any = SourceFileLoader
        reads = next(c for c in loader.__mro__ if "get_data" in vars(c))
        get_data, get_code = reads.get_data, loader.get_code

        def read_data(self_: Any, path: Any) -> Any:
            file = os.path.abspath(path)
            if self._stopped or not self.places.is_input(file, code=True) or self._is_own(file):
                return get_data(self_, path)
            busy, self._local.busy = getattr(self._local, "busy", False), True
            try:
                data = get_data(self_, path)
            finally:
                self._local.busy = busy
            self._note(file, sha256(data).hexdigest())
            return data

        def compile_source(self_: Any, fullname: str) -> Any:
            path = self_.get_filename(fullname)
            if self._stopped or not self.places.is_input(os.path.abspath(path), code=True):
                return get_code(self_, fullname)
            source = self_.get_data(path)
            known = self._compiled.get(path)  # by the process that this one was forked off
            code = known[1] if known and known[0] == source else self_.source_to_code(source, path)
            self._compiled[path] = source, code
            self.codes[code.co_filename] = code
            return code

        reads.get_data = read_data
        loader.get_code = compile_source

    def look_at_distributions(self) -> None:
        """Once `sys.path` is as the project wants it: what is installed, compared with what was."""
        self.distributions = installed(sys.path)
        if not self.wanted:
            return
        for name in sorted(self.wanted.keys() | self.distributions.keys()):
            was, now = self.wanted.get(name), self.distributions.get(name)
            if was != now:
                change = (
                    f"is {now} and was {was}"
                    if was and now
                    else "is new"
                    if now
                    else "is gone that was there"
                )
                self._refuse(f"the distribution {name} {change} when the plan was made")

    # ----------------------------------------------------------------- files

    def read(self, path: str, *, code: bool = False) -> None:
        """A file is about to be read: hash it and hold it against what may be read."""
        file = os.path.abspath(path)
        if not self.places.is_input(file, code=code) or self._is_own(file) or not is_regular(file):
            return
        digest = self._digest(file)
        if digest is not None:
            self._note(file, digest)

    def _digest(self, file: str) -> str | None:
        try:
            with open(file, "rb", buffering=0) as opened:
                found = os.fstat(opened.fileno())
                state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                known = self._hashed.get(file)
                if known is not None and known[0] == state:
                    return known[1]
                hashed = sha256()
                while True:
                    data = opened.read(CHUNK)
                    if not data:
                        break
                    hashed.update(data)
        except OSError:
            return None  # whoever opens it hears of it too
        self._hashed[file] = (state, hashed.hexdigest())
        return hashed.hexdigest()

    def _note(self, file: str, digest: str) -> None:
        name = self.places.name_of(file)
        wanted = self.expected.get(name)
        if wanted is None:
            if self.closed and not self.channel.forked:
                self._refuse(f"the file {name} is new: neither the plan nor its dry run read it")
        elif wanted != digest:
            self._refuse(f"the file {name} was changed since the plan was made")
        known = self.files.setdefault(name, digest)
        if known != digest and not self._is_own(file):
            self._refuse(f"the file {name} was changed while it was in use")

    def _refuse(self, words: str) -> None:
        self.refused = self.refused or words
        raise InputRefused(self.refused)

    def refuse_again(self) -> None:
        """Raise where something was refused before and the project went on."""
        if self.wanted_program:
            raise Refused("a program is to be started")
        if self.refused:
            raise InputRefused(self.refused)

    def _is_own(self, file: str) -> bool:
        if not self._own:
            return False
        path = os.path.realpath(file)
        while path not in self._own:
            parent = os.path.dirname(path)
            if parent == path:
                return False
            path = parent
        return True

    def _make(self, path: Any) -> None:
        file = path_of(path)
        if file is not None:
            self._own[os.path.realpath(file)] = os.path.abspath(file)

    # ----------------------------------------------------------------- what Python tells

    def _on_open(self, path: Any, _mode: Any, flags: Any) -> None:
        file = path_of(path)
        if file is None:
            return
        flags = flags if isinstance(flags, int) else os.O_RDONLY
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        anew = flags & os.O_TRUNC or (flags & os.O_CREAT and not os.path.exists(file))
        # a log, or a file that is locked: whoever appends to it does not read it first
        if not anew and not flags & os.O_WRONLY and not (writes and flags & os.O_APPEND):
            self.read(file)
        if writes and not self.places.is_input(os.path.abspath(file), code=True):
            return
        if writes:
            self._make(file)

    def _on_rename(self, source: Any, target: Any) -> None:
        file = path_of(source)
        if file is not None and self._is_own(os.path.abspath(file)):
            self._make(target)

    def _on_library(self, path: Any) -> None:
        file = path_of(path)
        if file is not None and os.sep in file:
            self.read(file)

    def _on_program(self, program: Any, arguments: Any, cwd: Any) -> None:
        if not self.programs:
            self.wanted_program = True
            self.refuse_again()
        folder = path_of(cwd) or os.getcwd()
        for word in [path_of(program), *words_of(arguments)]:
            if word:
                file = find_program(word) if word == path_of(program) and os.sep not in word else word
                self.read(os.path.join(folder, file))


def path_of(path: Any) -> str | None:
    """A path as text; None for what is none, as a descriptor."""
    try:
        return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None
    except (TypeError, ValueError):
        return None


def words_of(arguments: Any) -> list[str]:
    """The words of a command line."""
    if isinstance(arguments, (str, bytes)):
        try:
            return split(os.fsdecode(arguments))
        except ValueError:
            return []
    if isinstance(arguments, Iterable):
        return [word for word in map(path_of, arguments) if word]
    return []


def find_program(name: str) -> str:
    """Where PATH leads; the name where it leads nowhere."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        file = os.path.join(folder, name)
        if is_regular(file) and os.access(file, os.X_OK):
            return file
    return name


def is_regular(path: str) -> bool:
    """Whether it is a file, and neither a folder, nor a device, nor a pipe."""
    try:
        return S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def installed(folders: Iterable[str]) -> dict[str, str]:
    """Name and version of each distribution, by the names of the folders in which its metadata are: that is cheap."""
    found: dict[str, str] = {"python": sys.version.split()[0]}
    for folder in folders:
        try:
            names = os.listdir(folder or ".")
        except OSError:  # an archive, or nothing
            continue
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            if extension in (".dist-info", ".egg-info") and "-" in stem:
                distribution, version = stem.split("-")[:2]
                # the first on the path is what is imported
                found.setdefault(distribution.lower().replace("_", "-").replace(".", "-"), version)
    return found
