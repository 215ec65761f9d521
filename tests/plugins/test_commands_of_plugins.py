"""Commands of plugins are found whatever the targets, and hooks that can't work are refused by name."""

import pytest

TWO = 'plugins = ["ours.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n[targets.live]\nurl = "env:LIVE"\n'
HELLO = """\
import click
from ci_migrate.markers import hookimpl

@hookimpl
def ci_migrate_commands(cli):
    @cli.command("hello")
    def hello():
        "Say hello."
        click.echo("hello")
"""
WRAPPER = """\
from ci_migrate.markers import hookimpl

@hookimpl({how}=True)
def ci_migrate_after_stage(result, plan):
    return (yield)
"""


def test_F85_a_plugins_command_with_two_targets(alembic_project):
    alembic_project.settings(TWO)
    alembic_project.write("ours.py", HELLO)
    done = alembic_project.call("hello")
    assert (done.code, done.out) == (0, "hello\n"), done.text
    shown = alembic_project.call("--help")
    assert "From plugins:\n  hello  Say hello.\n" in shown.out


@pytest.mark.parametrize("how", ["wrapper", "hookwrapper"])
def test_F85_a_wrapper_is_refused_by_name(alembic_project, how):
    alembic_project.settings(TWO)
    alembic_project.write("ours.py", WRAPPER.format(how=how))
    done = alembic_project.call("plan", "--target", "dev")
    assert done.code == 2
    assert "Plugin ours.py wraps the hook ci_migrate_after_stage" in done.words
    assert not (alembic_project.folder / "app.db").exists()
