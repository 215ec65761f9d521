"""Plugins of a project: what each hook may do, and that one which breaks spoils only itself."""

import json
import os
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest

from ci_migrate.errors import SettingsError, UsageError
from ci_migrate.plugins import manager as plugins
from ci_migrate.stages import approve
from ci_migrate.timeouts import call_with_timeout

HEAD = """
import sys
from ci_migrate import hookimpl
from ci_migrate.checks.base import Check
from ci_migrate.model import Finding, Severity
"""

TARGET = '\n[targets.dev]\nurl = "sqlite:///app.db"\n'


def plugged(project, text: str, settings: str = TARGET):
    """The project with this plugin."""
    project.write("ours.py", HEAD + textwrap.dedent(text))
    project.settings('plugins = ["ours.py"]\n' + settings)
    return project


def ended(done, code: int, *words: str) -> None:
    text = " ".join(done.text.split())
    assert done.code == code, done.text
    assert "Traceback (most" not in text
    for word in words:
        assert word in text, (word, done.text)


# --------------------------------------------------------------------------- checks

A_CHECK = """
def find(check, facts):
    {body}

@hookimpl
def ci_migrate_checks(settings):
    return [Check("{code}", "ours", Severity.ERROR, measured={measured}, find=find)]
"""


@pytest.mark.parametrize(("measured", "stage"), [(False, "check"), (True, "dry-run")])
def test_a_check_refuses_in_its_stage(alembic_project, measured, stage):
    body = 'yield check.finding(f"no {facts.plan.pending} on a Friday", revision="r1")'
    plugged(alembic_project, A_CHECK.format(body=body, code="ZZ100", measured=measured))
    done = alembic_project.run("run")
    ended(done, 1, "ZZ100 ours [r1]", "no 2 on a Friday")
    assert done.outcomes[stage] == "failed"
    ended(alembic_project.run("run", "--allow", "ZZ100@r1=it is Thursday"), 0, "it is Thursday")


@pytest.mark.parametrize(
    "body", ["raise KeyError('ours')", "sys.exit(0)", "return [17]", "return None"], ids=str
)
def test_M18_a_check_that_breaks_refuses(alembic_project, body):
    plugged(alembic_project, A_CHECK.format(body=body, code="ZZ100", measured=False))
    ended(alembic_project.run("check"), 1, "ZZ100 ours", "The check ZZ100 could not tell")


@pytest.mark.parametrize(
    ("returned", "words"),
    [("17", "which has no name"), ("type('Mine', (), {'name': 'mine'})()", "which is no Repair")],
)
def test_a_repair_that_is_none_is_refused_rather_than_left_out(alembic_project, returned, words):
    plugged(alembic_project, f"@hookimpl\ndef ci_migrate_repairs(settings):\n    return [{returned}]\n")
    ended(alembic_project.run("run"), 2, words)
    assert alembic_project.heads == []


def test_a_code_claimed_twice(alembic_project):
    plugged(alembic_project, A_CHECK.format(body="return []", code="CM201", measured=False))
    ended(alembic_project.run("run"), 2, "Two plugins claim code CM201")
    ended(alembic_project.run("plugins"), 2, "CM201")


@pytest.mark.parametrize(
    "hook", ["ci_migrate_checks", "ci_migrate_repairs", "ci_migrate_reporters", "ci_migrate_databases"]
)
@pytest.mark.parametrize("body", ["raise KeyError('ours')", "sys.exit(0)", "return [17]", "return 17"])
def test_a_hook_that_returns_nothing_of_use(tmp_path, hook, body):
    (tmp_path / "ours.py").write_text(f"{HEAD}\n@hookimpl\ndef {hook}():\n    {body}\n")
    manager = plugins.create_manager(["ours.py"], tmp_path)
    with pytest.raises(UsageError) as caught:
        plugins.unique(plugins.collect(manager, hook, settings=None), "code")
    if body != "return [17]":
        assert "ours.py" in caught.value.what


# --------------------------------------------------------------------------- before and after

BEFORE = """
@hookimpl
def ci_migrate_before_stage(stage, plan):
    if stage == "{stage}":
        {body}
"""


@pytest.mark.parametrize("stage", ["check", "backup", "dry-run", "migrate"])
def test_a_veto_stops_the_run_untouched(alembic_project, stage):
    plugged(alembic_project, BEFORE.format(stage=stage, body='return "not today"'))
    done = alembic_project.run("run")
    ended(done, 1, f"Plugin ours.py says no to {stage}: not today", "The database is untouched")
    assert done.outcomes[stage] == "failed"
    assert alembic_project.heads == []
    ended(alembic_project.run("status"), 0)


def test_a_veto_of_verify_leaves_it_migrated(alembic_project):
    plugged(alembic_project, BEFORE.format(stage="verify", body='return "not today"'))
    done = alembic_project.run("run")
    ended(done, 7, "Plugin ours.py says no to verify: not today")
    assert alembic_project.heads == ["r2"]
    assert "untouched" not in done.text


@pytest.mark.parametrize("body", ["raise OSError('ours')", "sys.exit(0)", "1 / 0"])
def test_M18_a_veto_by_breaking(alembic_project, body):
    plugged(alembic_project, BEFORE.format(stage="migrate", body=body))
    ended(alembic_project.run("run"), 1, "Plugin ours.py says no to migrate", "untouched")
    assert alembic_project.heads == []


def test_repair_has_no_veto(alembic_project):
    plugged(alembic_project, BEFORE.format(stage="repair", body='return "not today"'))
    alembic_project.revision(
        "r1", None, 'import os\nassert os.environ["CI_MIGRATE_STAGE"] != "migrate", "boom"'
    )
    (alembic_project.folder / "migrations/versions/r2.py").unlink()
    ended(alembic_project.run("run"), 6, "as it was before")


def test_M18_observers(alembic_project):
    """What they return is reported; what they raise, return or change besides changes nothing."""
    plugged(
        alembic_project,
        """
        @hookimpl
        def ci_migrate_after_stage(result, plan):
            if result.stage == "check":
                plan.revisions[0].allow["CM999"] = "changed"
                result.plan.revisions[0].allow["CM999"] = "changed"
                return Finding(code="ZZ200", name="seen", severity=Severity.INFO, message="seen it")
            if result.stage == "backup":
                raise OSError("observer broke")
            if result.stage == "dry-run":
                return "nonsense"
            sys.exit(0)
        """,
    )
    done = alembic_project.run("run")
    ended(done, 0, "ZZ200", "observer broke", "not a Finding", "SystemExit")
    assert done.codes() == {"ZZ200", "CM901"}
    assert alembic_project.heads == ["r2"]
    assert done.report["results"][0]["plan"]["revisions"][0]["allow"] == {}


SLEEP = "import time; time.sleep(600)"


def test_M18_what_hangs_counts_as_failed(alembic_project):
    """An observer is a warning, a reporter too; a check, a veto and an approver refuse."""
    slow = 'hook-timeout = 0.5\n[targets.dev]\nurl = "sqlite:///app.db"\n'
    words = "no answer within 0.5 s (hook-timeout)"
    observer = f"@hookimpl\ndef ci_migrate_after_stage(result):\n    if result.stage == 'backup': {SLEEP}\n"
    plugged(alembic_project, A_CHECK.format(body=SLEEP, code="ZZ100", measured=False), slow)
    started = time.monotonic()
    refused = alembic_project.gate("check")
    assert refused.exit_code == 1
    assert words in refused.results[0].message
    plugged(alembic_project, BEFORE.format(stage="migrate", body=SLEEP) + REPORTER.format(body=SLEEP), slow)
    done = alembic_project.run("run")
    ended(
        done, 1, f"Plugin ours.py says no to migrate: TimeoutError: {words}", "ours.txt could not be written"
    )
    plugged(alembic_project, observer, slow)
    seen = alembic_project.gate("run")
    assert seen.exit_code == 0
    assert words in seen.findings[0].message
    assert time.monotonic() - started < 300, "a process that ends does not wait for what hangs"
    plugged(alembic_project, f"@hookimpl\ndef ci_migrate_checks():\n    {SLEEP}\n", slow)
    with pytest.raises(UsageError, match=r"ours\.py failed in ci_migrate_checks: TimeoutError"):
        alembic_project.gate("check")


def test_M18_an_approver_that_hangs_denies():
    asked = SimpleNamespace(decide=lambda _plan: time.sleep(600))
    decision = approve._ask(asked, None, 0.2)
    assert decision.granted is False
    assert "hook-timeout" in decision.reason


def test_M18_what_a_hook_changes_changes_nothing(alembic_project):
    """A reason for a finding, written into the plan; a grade, written into the settings."""
    alembic_project.revision("r3", "r2", "drop table users", "pass")
    changing = """
    from ci_migrate import hookimpl

    @hookimpl
    def ci_migrate_before_stage(stage, plan):
        for revision in plan.revisions if plan else ():
            revision.allow["CM201"] = revision.allow["CM401"] = "never mind"

    @hookimpl
    def ci_migrate_reporters():
        return []
    """
    body = "facts.plan.revisions[-1].allow['CM401'] = 'never mind'; return []"
    hook = "settings.checks['CM401'] = 'ignore'; settings.environ.clear()"
    text = A_CHECK.format(body=body, code="AA100", measured=False).replace(
        "    return [Check", f"    {hook}\n    return [Check"
    )
    plugged(alembic_project, text + textwrap.dedent(changing), "require-downgrade = true\n" + TARGET)
    done = alembic_project.gate("check")
    assert done.exit_code == 1
    assert [(f.code, f.acknowledged) for f in done.findings] == [("CM401", None)]


# --------------------------------------------------------------------------- approvers

PRODUCTION = TARGET.replace("dev", "live") + 'tags = ["production"]\nscratch = "server"\n'

APPROVER = """
from ci_migrate.approval import Decision

class Ours:
    def decide(self, plan):
        {body}

@hookimpl
def ci_migrate_approvals(plan, settings):
    {hook}
"""


@pytest.mark.parametrize(
    ("body", "hook", "words"),
    [
        ("return Decision(granted=False, reason='a freeze')", "return [Ours()]", "a freeze"),
        ("raise OSError('ours')", "return [Ours()]", "Ours failed: OSError: ours"),
        ("sys.exit(0)", "return [Ours()]", "Ours failed: SystemExit"),
        ("return True", "return [Ours()]", "no decision"),
        ("", "raise OSError('ours')", "Plugin ours.py failed in ci_migrate_approvals"),
    ],
)
def test_an_approver_that_denies_or_breaks_outweighs_a_token(alembic_project, body, hook, words):
    plugged(alembic_project, APPROVER.format(body=body or "pass", hook=hook), PRODUCTION)
    token = alembic_project.run("token", "generate", "--reason", "x", "--quiet").out.strip()
    done = alembic_project.run("run", env={"CI_MIGRATE_TOKEN": token})
    ended(done, 4, words, "untouched")
    assert alembic_project.heads == []
    assert "Approved by" not in done.text
    assert "valid" in alembic_project.run("token", "list").out, "it was not used up"


def test_an_approver_alone_does_not_replace_the_token(alembic_project):
    text = APPROVER.format(body="return Decision(granted=True, by='ours')", hook="return [Ours()]")
    plugged(alembic_project, text, PRODUCTION)
    ended(alembic_project.run("run"), 4, "Not approved")
    token = alembic_project.run("token", "generate", "--reason", "x", "--quiet").out.strip()
    ended(alembic_project.run("run", env={"CI_MIGRATE_TOKEN": token}), 0)


# --------------------------------------------------------------------------- reporters

REPORTER = """
class Ours:
    format = "ours"
    file = "ours.txt"

    def render(self, report):
        {body}

@hookimpl
def ci_migrate_reporters():
    return [Ours()]
"""


def test_a_reporter(alembic_project):
    plugged(alembic_project, REPORTER.format(body="return report.run_id"))
    done = alembic_project.run("plan", "--report", "ours=more/x.txt")
    ended(done, 0)
    assert (alembic_project.reports / "ours.txt").read_text() == done.report["runId"]
    assert (alembic_project.folder / "more" / "x.txt").exists()


@pytest.mark.parametrize("body", ["raise OSError('ours')", "sys.exit(3)", "return None", "return 1 / 0"])
def test_M18_a_reporter_that_breaks_is_a_warning(alembic_project, body):
    plugged(alembic_project, REPORTER.format(body=body))
    ended(alembic_project.run("check"), 0, "WARNING", "ours.txt")
    assert (alembic_project.reports / "junit.xml").exists()


def test_M18_what_a_plugin_prints_is_not_in_the_json(alembic_project):
    plugged(alembic_project, 'print("at import")' + BEFORE.format(stage="check", body='print("at work")'))
    done = alembic_project.run("plan", "--json")
    assert json.loads(done.out)["exitCode"] == 0
    assert "at import" in done.err
    assert "at work" in done.err


# --------------------------------------------------------------------------- finding them


@pytest.mark.parametrize(
    "text",
    [
        "import nothing_of_this_name",
        "def x(:",
        "raise OSError('ours')",
        "import sys; sys.exit(0)",
        "@hookimpl\ndef ci_migrate_checks(nonsense): pass",
        "@hookimpl\ndef ci_migrate_nonsense(): pass",
    ],
)
def test_a_plugin_that_can_not_be_loaded(alembic_project, text):
    plugged(alembic_project, text)
    done = alembic_project.run("run")
    ended(done, 2, "USAGE")
    assert "ours.py" in done.text or "ci_migrate_nonsense" in done.text
    assert alembic_project.heads == []
    ended(alembic_project.run("plugins"), 2)


def test_a_plugin_that_is_named_twice_or_is_not_there(tmp_path):
    (tmp_path / "ours.py").write_text("")
    with pytest.raises(SettingsError, match=r"ours\.py is named twice"):
        plugins.create_manager(["ours.py", "ours.py"], tmp_path)
    with pytest.raises(SettingsError, match=r"theirs\.py can't be imported"):
        plugins.create_manager(["theirs.py"], tmp_path)


def test_an_engine_claimed_twice(alembic_project):
    plugged(
        alembic_project,
        """
        from ci_migrate.databases.base import DatabaseFactory

        @hookimpl
        def ci_migrate_databases():
            return [DatabaseFactory(backends=("sqlite",), make=None)]
        """,
    )
    ended(alembic_project.run("run"), 2, "Two plugins claim the database sqlite")


def test_plugins_lists_hooks_and_checks(alembic_project):
    text = A_CHECK.format(body="return []", code="ZZ100", measured=False)
    plugged(alembic_project, text + 'print("at import")')
    out = alembic_project.run("plugins").out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert {name for name in dir(plugins.hookspecs) if name.startswith("ci_migrate_")} <= lines.keys()
    assert "ours.py" in lines["ci_migrate_checks"]
    assert "built-in checks" in lines["ci_migrate_checks"]
    assert "ours" in lines["ZZ100"]
    assert "single-head" in lines["CM101"]
    found = json.loads(alembic_project.call("plugins", "--json").out)
    (before,) = [h for h in found["hooks"] if h["name"] == "ci_migrate_before_stage"]
    assert before == {"name": "ci_migrate_before_stage", "parameters": ["stage", "plan"], "plugins": []}
    (ours,) = [p for p in found["plugins"] if p["name"] == "ours.py"]
    assert (ours["origin"], ours["place"]) == ("settings", str(alembic_project.folder / "ours.py"))
    added = {(a["kind"], a["name"]): a for a in found["additions"]}
    assert {kind for kind, _ in added} == {"check", "reporter", "repair", "database", "storage"}
    assert added["check", "ZZ100"]["plugin"] == "ours.py"
    assert added["check", "ZZ100"]["words"] == "error    ours (plan)"
    assert added["reporter", "junit"] == {
        "kind": "reporter", "name": "junit", "words": "junit.xml", "plugin": "built-in built_in"
    }  # fmt: skip


def test_a_module_and_an_installed_distribution(tmp_path):
    """By module name, and by the entry point group `ci_migrate`."""
    for name in ("by_name", "installed"):
        (tmp_path / f"{name}.py").write_text(
            f"{HEAD}\n@hookimpl\ndef ci_migrate_reporters():\n    return []\n"
        )
    meta = tmp_path / "theirs-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[ci_migrate]\ntheirs = installed\n")
    code = (
        "from pathlib import Path; from ci_migrate.plugins import manager as plugins\n"
        "manager = plugins.create_manager(['by_name'], Path())\n"
        "print([i.plugin_name for i in manager.hook.ci_migrate_reporters.get_hookimpls()])\n"
    )
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    environ = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'by_name'" in done.stdout
    assert "'theirs'" in done.stdout


@pytest.mark.parametrize(
    ("text", "named", "words"),
    [
        ("1 / 0", "theirs", r"Plugin theirs of theirs 1\.0 can't be imported: ZeroDivisionError"),
        ("import sys; sys.exit(0)", "theirs", "can't be imported: SystemExit"),
        ("", "ours.py", r"There are two plugins ours\.py; one is installed with theirs 1\.0"),
        (f"{HEAD}\n@hookimpl\ndef ci_migrate_checks(nonsense): pass", "theirs", "Plugin theirs does not fit"),
    ],
)
def test_the_gate_does_not_go_on_without_an_installed_plugin(tmp_path, monkeypatch, text, named, words):
    (tmp_path / "ours.py").write_text("")
    (tmp_path / f"broken_{tmp_path.name}.py").write_text(text)
    meta = tmp_path / "theirs-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[ci_migrate]\n{named} = broken_{tmp_path.name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match=words):
        plugins.create_manager(["ours.py"], tmp_path)


def test_M18_what_would_end_the_gate_is_an_error_of_the_call():
    """KeyboardInterrupt, pytest's outcomes: none of them is an Exception."""

    def ends():
        raise KeyboardInterrupt

    with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        call_with_timeout(ends, 60)
    with pytest.raises(RuntimeError, match="Failed: ours"):
        call_with_timeout(lambda: pytest.fail("ours"), 60)
    with pytest.raises(SystemExit):
        call_with_timeout(lambda: sys.exit(0), 60)


def test_a_command(alembic_project):
    plugged(
        alembic_project,
        """
        import click

        @hookimpl
        def ci_migrate_commands(cli):
            @cli.command("hello")
            @click.option("--name", default="you")
            def hello(name):
                click.echo(f"hello {name}")
                return 0
        """,
    )
    done = alembic_project.run("hello", "--name", "ana")
    ended(done, 0)
    assert done.out == "hello ana\n"
    ended(alembic_project.run("helo"), 2, "No such command")


def test_a_plugin_that_breaks_hides_no_mistyped_command(alembic_project):
    plugged(alembic_project, "@hookimpl\ndef ci_migrate_commands(cli):\n    sys.exit(0)")
    ended(alembic_project.run("rnu"), 2, "ours.py failed in ci_migrate_commands", "Did you mean run?")


# --------------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", ["@dataclasses.dataclass\nclass Limit:", "class Limit(msgspec.Struct):"])
def test_a_file_may_define_values(tmp_path, kind):
    """Their annotations are texts there, which are looked up in the module."""
    (tmp_path / "ours.py").write_text(
        f"from __future__ import annotations\nimport dataclasses\nimport msgspec\n{kind}\n    rows: int\n"
        "assert msgspec.json.decode(b'{\"rows\": 1}', type=Limit) == Limit(1)\n"
    )
    assert plugins.create_manager(["ours.py"], tmp_path).has_plugin("ours.py")


def test_two_files_of_one_name_are_two_plugins(tmp_path):
    for folder, returns in (("a", "no"), ("b", "never")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "checks.py").write_text(
            f"from ci_migrate import hookimpl\n@hookimpl\ndef ci_migrate_before_stage(stage):\n    return {returns!r}\n"
        )
    manager = plugins.create_manager(["a/checks.py", "b/checks.py"], tmp_path)
    vetoes = [i.function("migrate") for i in manager.hook.ci_migrate_before_stage.get_hookimpls()]
    assert sorted(vetoes) == ["never", "no"]


def test_a_file_by_its_absolute_path_is_named_as_the_project_names_it(tmp_path):
    (tmp_path / "ours.py").write_text("")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert plugins.create_manager([str(tmp_path / "ours.py")], tmp_path).has_plugin("ours.py")
    assert plugins.create_manager([str(tmp_path / "ours.py")], elsewhere).has_plugin(
        str(tmp_path / "ours.py")
    )
    with pytest.raises(SettingsError, match=r"Plugin ours\.py is named twice"):
        plugins.create_manager(["ours.py", str(tmp_path / "ours.py")], tmp_path)


def test_a_file_is_read_anew_each_time(tmp_path):
    """Two texts of the same length within a second: bytecode would be the one of before."""
    for value in ("1", "2"):
        (tmp_path / "ours.py").write_text(
            f"from ci_migrate import hookimpl\n@hookimpl\ndef ci_migrate_before_stage(stage):\n    return '{value}'\n"
        )
        manager = plugins.create_manager(["ours.py"], tmp_path)
        assert plugins.ask_before(manager, "migrate", None) == f"Plugin ours.py says no to migrate: {value}"
    assert not list(tmp_path.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def ci_migrate_before_stge(stage): ...", ""),
        ("@hookimpl\ndef ci_migrate_before_stge(stage): ...", "unknown hook 'ci_migrate_before_stge'"),
        ("@hookimpl\ndef ci_migrate_before_stage(stage, plann): ...", "plann"),
        ("@hookimpl(wrapper=True)\ndef ci_migrate_before_stage(stage): ...", "not a generator"),
    ],
)
def test_a_hook_that_is_none(tmp_path, text, words):
    """A name that is mistyped and marked is no hook that never runs."""
    (tmp_path / "ours.py").write_text(f"from ci_migrate import hookimpl\n{text}\n")
    if not words:
        plugins.create_manager(["ours.py"], tmp_path)
        return
    with pytest.raises(SettingsError, match="does not fit") as caught:
        plugins.create_manager(["ours.py"], tmp_path)
    assert words in caught.value.what


# --------------------------------------------------------------------------- what hooks return


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([SimpleNamespace(code="A1"), SimpleNamespace(code="A1")], "Two plugins claim code A1."),
        ([SimpleNamespace()], "which has no code."),
        ([SimpleNamespace(code=3)], "which has no code."),
        ([None], "A plugin returned None, which has no code."),
    ],
)
def test_items_without_a_key_of_their_own(items, words):
    with pytest.raises(UsageError) as caught:
        plugins.unique(items, "code")
    assert words in caught.value.what
    assert len(caught.value.what) < 200


def test_items_are_sorted_by_their_key_whoever_brought_them():
    items = [SimpleNamespace(code=code) for code in ("CM2", "A1", "CM10")]
    assert [item.code for item in plugins.unique(items, "code")] == ["A1", "CM10", "CM2"]


def test_an_item_of_another_kind_is_named():
    with pytest.raises(UsageError, match="which is no Version"):
        plugins.unique([SimpleNamespace(code="A")], "code", type("Version", (), {}))


@pytest.mark.parametrize(("returned", "found"), [("None", 0), ("()", 0), ("[]", 0), ("(x for x in [])", 0)])
def test_a_hook_may_return_nothing(tmp_path, returned, found):
    (tmp_path / "ours.py").write_text(
        f"from ci_migrate import hookimpl\n@hookimpl\ndef ci_migrate_reporters():\n    return {returned}\n"
    )
    own = [
        p for _, p in plugins.ask_all(plugins.create_manager(["ours.py"], tmp_path), "ci_migrate_reporters")
    ]
    assert own.count("ours.py") == found


@pytest.mark.parametrize("backend", ["oracle", "mssql", "duckdb"])
def test_an_engine_that_nobody_serves_names_those_that_are(tmp_path, backend):
    url = SimpleNamespace(get_backend_name=lambda: backend)
    with pytest.raises(UsageError) as caught:
        plugins.make_database(plugins.create_manager([], tmp_path), url, None)
    assert caught.value.what == f"Databases of the kind {backend} are not supported."
    assert caught.value.hint == "There are: mariadb, mysql, postgresql, sqlite."
