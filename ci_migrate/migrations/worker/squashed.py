"""The scripts as they are once a baseline is written: `squash` proves it before it changes a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any


def put_in_place(script: Any, squashed: Mapping[str, Any]) -> None:
    """Have a ScriptDirectory take some files for gone, and one that lies elsewhere for theirs."""
    from alembic.script import Script
    from alembic.script.revision import RevisionMap
    from alembic.util import load_python_file

    original = script.revision_map
    gone = {os.path.realpath(file) for file in squashed["gone"]}
    make: Any = Script

    def load() -> Iterator[Any]:
        # made anew: a map writes into its scripts what follows which
        for one in list(original.iterate_revisions("heads", "base", inclusive=True)):
            if os.path.realpath(one.path) not in gone:
                yield make(one.module, one.revision, one.path)
        folder, name = os.path.split(squashed["baseline"])
        yield make(load_python_file(folder, name), squashed["revision"], squashed["baseline"])

    script.revision_map = RevisionMap(load)
