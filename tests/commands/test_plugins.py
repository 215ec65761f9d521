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
