"""The suites as an author of a plugin runs them: the files of tests in the documentation, on the fakes in memory."""

import re
import shutil
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


def test_the_example_of_a_provider_passes(tmp_path: Path):
    """Its longest test; those of test_providers.py are all of them on the same script."""
    (example,) = re.findall(r"```python\n# test_our_provider.py\n(.*?)```", EXTENDING, re.DOTALL)
    (tmp_path / "test_our_provider.py").write_text(example)
    shutil.copy(Path(__file__).parents[1] / "support" / "sqlite_provider.py", tmp_path / "backup.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path),
         "-k", "circle and odd"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
