import importlib.util
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _load(name: str):
    spec = importlib.util.spec_from_file_location(f"ci_migrate_tests_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAMPLES = _load("sample_reports")


def pytest_generate_tests(metafunc):
    if "sample_name" in metafunc.fixturenames:
        metafunc.parametrize("sample_name", SAMPLES.ALL)


@pytest.fixture(scope="session")
def samples():
    """The module with the sample Reports."""
    return SAMPLES


@pytest.fixture
def sample(sample_name):
    return SAMPLES.ALL[sample_name]()


@pytest.fixture
def same_as_golden():
    """Compares a text with a file of golden/. `UPDATE_GOLDEN=1` writes it anew: look at the difference."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text

    return compare
