"""What `make` runs, where something stands in for the interpreter."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_demo_keeps_what_it_compiled_where_others_may_not(tmp_path) -> None:
    """Nothing is compiled at its installation, so that each of its interpreters would compile all of it again."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$1: ${PYTHONDONTWRITEBYTECODE-kept}"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "--silent", "--old-file=.venv/.runs", f"BIN={tmp_path}", "demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "examples/bookshop/demo.py: kept\n"
