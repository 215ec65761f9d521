"""`ci-migrate serve`: what hinders it is said before it listens. What it answers is in tests/server/."""

import builtins
import socket

import pytest
from alembic_project import ended


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "nowhere"], "There is no target named nowhere (--target)."),
        (["--target", "dev", "--target", "nowhere"], "There is no target named nowhere (--target)."),
        (["--host", "no such host", "--port", "0"], "no such host port 0 can't be listened on"),
        (["--host", "203.0.113.7", "--port", "0"], "203.0.113.7 port 0 can't be listened on"),
        (["--port", "65536"], "65536 is not in the range"),
        (["--failures", "0"], "0 is not in the range"),
    ],
)
def test_it_does_not_begin(shop, arguments, words):
    done = shop.call("serve", *arguments)
    ended(done, 2, words)
    assert "Listening" not in done.out


def test_a_port_that_is_taken(shop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended(
            shop.call("serve", "--port", port),
            2,
            f"port {port} can't be listened on",
            "Name another: --port 0",
        )


def test_without_its_packages_it_names_the_extra(shop, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **more):
        if name == "ci_migrate.server.app":
            raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    ended(
        shop.call("serve"), 2, "a package that is not installed: fastapi.", "pip install 'ci-migrate[server]'"
    )


def test_settings_that_can_not_be_read_serve_nobody(alembic_project):
    alembic_project.settings("nonsense = 1\n")
    ended(alembic_project.call("serve", "--port", "0"), 2, "unknown key nonsense")


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "../x", "a\nb", "a" * 65])
def test_names_that_no_key_may_have(shop, name):
    done = shop.call("serve", "key", "create", "--role", "viewer", "--", name)
    assert done.code == 2, done.text
    assert done.out == ""


def test_a_role_is_needed(shop):
    ended(shop.call("serve", "key", "create", "ana"), 2, "--role")
    ended(shop.call("serve", "key", "create", "ana", "--role", "Viewer"), 2, "'Viewer' is not one of")


@pytest.mark.parametrize("days", ["0", "-1", "3661", "99999999999"])
def test_days_that_can_not_be(shop, days):
    ended(
        shop.call("serve", "key", "create", "ana", "--role", "viewer", f"--days={days}"),
        2,
        "A key can't be good for",
    )


def test_a_key_of_another_target_is_not_listed(alembic_project):
    """Keys stand in the ledger of a database: each target has its own."""
    alembic_project.settings(
        '[targets.dev]\nurl = "sqlite:///app.db"\n[targets.two]\nurl = "sqlite:///two.db"\n'
    )
    alembic_project.sql("select 1")
    (alembic_project.folder / "two.db").touch()
    ended(alembic_project.call("serve", "key", "create", "ana", "--role", "viewer", "--target", "dev"), 0)
    assert " ana " in ended(alembic_project.call("serve", "key", "list", "--target", "dev"), 0)
    assert ended(alembic_project.call("serve", "key", "list", "--target", "two"), 0) == "No keys.\n"
