"""`ci-migrate plugins`: hooks, and what implements them."""

import json

CHECK = '''\
"""Ours."""


def check_names(plan):
    """A table is named in the plural."""
    assert plan
'''


def test_hooks_and_what_a_plugin_adds(alembic_project):
    alembic_project.write("ours.py", CHECK)
    alembic_project.settings('plugins = ["ours.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.call("plugins")
    assert done.code == 0, done.text
    assert "ci_migrate_checks" in done.out
    assert "ours.py" in done.out
    found = json.loads(alembic_project.call("plugins", "--json").out)
    assert any(a["plugin"] == "functions of ours.py" and a["kind"] == "check" for a in found["additions"])


def test_a_plugin_that_is_not_there(alembic_project):
    alembic_project.settings('plugins = ["theirs.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.call("plugins")
    assert done.code == 2
    assert "theirs.py" in done.err


def test_a_plugin_that_prints_spoils_no_json(alembic_project):
    alembic_project.write("ours.py", 'print("PRINTED")\n' + CHECK)
    alembic_project.settings('plugins = ["ours.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.call("plugins", "--json")
    assert done.code == 0, done.text
    assert json.loads(done.out)["plugins"]
    assert "PRINTED" in done.err


def test_without_plugins_all_hooks_are_named(alembic_project):
    from ci_migrate.plugins import hookspecs

    out = alembic_project.call("plugins").out
    hooks = [name for name in dir(hookspecs) if name.startswith("ci_migrate_")]
    assert [line.split()[0] for line in out.splitlines()[: len(hooks)]] == sorted(hooks)
    assert "ci_migrate_approvals     -" in out
    for kind in ("checks", "reporters", "repairs", "databases", "storages"):
        assert f"\n{kind}\n" in out


def test_no_database_is_reached(alembic_project):
    alembic_project.settings('[targets.dev]\nurl = "postgresql://nobody@127.0.0.1:1/x"\n')
    assert alembic_project.call("plugins").code == 0
