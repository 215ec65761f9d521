"""The suites as an author of a plugin runs them: the files of tests in the documentation, on the fakes in memory."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXTENDING = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["test_memory_storage.py", "test_memory_database.py"])
def test_the_example_of_the_documentation_passes(name: str, tmp_path: Path):
    (example,) = re.findall(rf"```python\n# {name}\n(.*?)```", EXTENDING, re.DOTALL)
    (tmp_path / name).write_text(example)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20
