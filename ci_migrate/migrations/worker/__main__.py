"""The script that the project's interpreter runs: loads the files beside it, and starts.

The project's `sys.path` stays as it is, and no name is taken that a module of the project could have.
"""

import importlib
import importlib.util
import os
import sys
from typing import Any

PACKAGE = "_ci_migrate_worker"


def load_main() -> Any:
    """Import the folder as a package by its path: `sys.path` has no part in it, and nothing is written there."""
    folder = os.path.dirname(os.path.abspath(__file__))
    spec: Any = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # the folder may be another user's
    try:
        package = sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(package)
        return importlib.import_module(PACKAGE + ".main")
    finally:
        sys.dont_write_bytecode = writes


if __name__ == "__main__":  # multiprocessing imports this file again, as __mp_main__
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]  # the folder of this script: the interpreter has just put it there
    load_main().start()
