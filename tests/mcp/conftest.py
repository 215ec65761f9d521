"""A server as a client starts it, spoken to by the SDK's own client."""

import importlib.util
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp")

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


@pytest.fixture
def talk() -> Callable[..., Any]:
    """`talk(project, conversation, *options)`: start `ci-migrate mcp` there and have the conversation with it."""

    def start(
        project: Any,
        conversation: Callable[[Client], Awaitable[Any]],
        *options: str,
        env: dict[str, str] | None = None,
    ) -> Any:
        async def whole() -> Any:
            server = StdioServerParameters(
                command=sys.executable,
                args=["-m", "ci_migrate", "mcp", *options],
                cwd=project.folder,
                env=project.environment(env),
            )
            async with Client(stdio_client(server)) as client:
                return await conversation(client)

        return anyio.run(whole)

    return start


def _load_samples() -> Any:
    spec = importlib.util.spec_from_file_location(
        "ci_migrate_tests_samples_for_mcp", Path(__file__).parents[1] / "reports" / "sample_reports.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAMPLES = _load_samples()


@pytest.fixture(scope="session")
def samples() -> Any:
    """The module with the sample Reports."""
    return SAMPLES


@pytest.fixture(params=SAMPLES.ALL)
def sample(request: pytest.FixtureRequest) -> Any:
    """Each of them."""
    return SAMPLES.ALL[request.param]()
