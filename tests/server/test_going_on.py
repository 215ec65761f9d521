"""A deploy tool without a shell: it sees what is there, and is never stuck after a migration that ended with 7."""

import os
import signal

from alembic_project import new_project
from http_service import PREFIX, WAITS, descendants, make_key, served, wait_for


def test_F30_everything_that_a_deploy_tool_needs(tmp_path):
    project = new_project(tmp_path)
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n[targets.other]\nurl = "sqlite:///other.db"\n')
    keys = {("dev", role): make_key(project, role, role, "dev") for role in ("viewer", "operator", "admin")}
    with served(project, keys) as service:
        nothing = service.refused(503, "POST", "/verify", role="operator")
        assert "not migrated this target yet" in nothing["message"]
        found = service.good("GET", "/status", role="viewer")
        assert (found["pending"], found["exitCode"]) == (["r1", "r2"], 0)
        assert found["next"] == f"POST {PREFIX}/migrate-with-backup"
        planned = service.good("GET", "/plan", role="operator")
        assert [r["revision"] for r in planned["pending"]] == ["r1", "r2"]
        assert (planned["migrationsRun"], planned["message"].partition(",")[0]) == (0, "2 migrations pending")
        assert service.good("POST", "/dry-run", role="operator")["migrationsRun"] == 0
        assert project.heads == []
        assert service.good("POST", "/migrate-with-backup", role="operator")["targetVersion"] == "r2"
        assert service.good("POST", "/verify", role="operator")["differences"] == []
        runs = service.good("GET", "/history", role="viewer", params={"limit": 1})["runs"]
        assert [(r["command"], r["exitCode"], r["actor"], r["toHeads"]) for r in runs] == [
            ("run", 0, "operator", [["r2"]])
        ]
        project.sql("create table stranger (id integer)")
        differs = service.refused(422, "POST", "/verify", role="operator")
        assert "stranger" in differs["message"]
        project.sql("drop table stranger")
        stamped = service.good("POST", "/stamp", params={"revision": "r1"}, json={"reason": "ticket 4711"})
        assert stamped["message"].startswith("Database marked")
        assert project.heads == ["r1"]
        service.good("POST", "/stamp", params={"revision": "r2"}, json={"reason": "and back"})
        pruned = service.good("POST", "/backup/prune", params={"keep": 1, "dryRun": "true"})
        assert pruned["dryRun"] is True
        assert service.good("POST", "/repair", role="operator")["message"].startswith(
            "There is no unfinished run"
        )


def test_F30_after_a_kill_in_the_middle(tmp_path):
    """`auto-rollback` off: the service only says what it found, and how to go on over HTTP."""
    project = new_project(tmp_path)
    project.settings('auto-rollback = false\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate").exit_code == 0
    project.revision("r3", "r2", WAITS)
    keys = {("dev", "admin"): make_key(project, "ana", "admin", "dev")}
    with served(project, keys) as service:
        started = service.call("POST", "/migrate", headers={"Prefer": "respond-async"})
        place = started.headers["location"].removeprefix(PREFIX)
        wait_for((project.folder / "reached").exists, "the migration never came to its middle")
        for pid in descendants(service.process.pid):
            os.kill(pid, signal.SIGKILL)
        (project.folder / "go").touch()
        wait_for(lambda: service.good("GET", place)["status"] != "running", "it never ended")
        assert f"POST {PREFIX}/repair" in service.good("GET", place)["message"]
        found = service.good("GET", "/status")
        assert found["exitCode"] == 7
        assert f"POST {PREFIX}/repair" in found["message"]
        shown = service.call("POST", "/repair", params={"dryRun": "true"}).json()
        assert shown["message"].startswith("Found:")
        service.good("POST", "/repair")
        assert service.good("GET", "/status")["exitCode"] == 0
    assert project.heads == ["r2"]
