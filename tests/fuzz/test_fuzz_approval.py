"""Coverage-guided fuzzing of what reads tokens, approvers' lines and requests."""

import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 1_000_000


@pytest.mark.long
def test_a_million_inputs_and_nothing_that_was_not_signed():
    pytest.importorskip("atheris", reason="atheris is not installed")
    script = Path(__file__).with_name("fuzz_approval.py")
    done = subprocess.run([sys.executable, script, str(RUNS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"stat::number_of_executed_units: {RUNS}" in done.stderr
