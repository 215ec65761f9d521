"""What each endpoint answers, and to whom; on SQLite, the application and its work in this process."""

import json
import re
from pathlib import Path

import pytest
from alembic_project import new_project
from http_service import PREFIX, ROLES, served_here

from ci_migrate.databases.file_lock import file_lock
from ci_migrate.errors import ExitCode
from ci_migrate.server.problems import STATUS, TITLES
from ci_migrate.server.work import Answer


@pytest.fixture
def service(tmp_path):
    """A target that was never migrated, and a key of each role."""
    project = new_project(tmp_path / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    project.sql("select 1")  # makes the file
    with served_here(project, {("dev", role): role for role in ROLES}) as service:
        yield service


def test_a_target_before_and_after_its_first_migration(service):
    before = service.good("GET", "/status", role="viewer")
    assert (before["heads"], before["pending"], before["exitCode"]) == ([[]], ["r1", "r2"], 0)
    assert before["next"] == f"POST {PREFIX}/migrate-with-backup", "what can be typed is a call"
    assert service.good("GET", "/history", role="viewer") == {"runs": []}
    unknown = service.refused(503, "POST", "/verify", role="operator")
    assert unknown["exitCode"] == 8
    assert "nothing to compare with" in unknown["message"]
    planned = service.good("GET", "/plan", role="operator")
    assert [p["revision"] for p in planned["pending"]] == ["r1", "r2"]
    assert planned["migrationsRun"] == 0
    assert service.project.heads == []

    rehearsed = service.good("POST", "/dry-run", role="operator")
    assert rehearsed["migrationsRun"] == 0
    assert rehearsed["state"] == "untouched"
    done = service.good("POST", "/migrate-with-backup", role="operator")
    assert (done["targetVersion"], done["migrationsRun"], done["state"]) == ("r2", 2, "migrated")
    assert done["message"].startswith("Database migration finished. Target version: r2, migrations run: 2")
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert list(done)[: len(shown)] == list(shown)
    assert set(done) == {*shown, "planDigest", "pending", "findings"}
    asked = f"Target version: {shown['targetVersion']}, migrations run: {shown['migrationsRun']} (backup ID: {shown['backupId']})"
    assert shown["message"] == f"Database migration finished. {asked}"
    given = f"Target version: r2, migrations run: 2 (backup ID: {done['backupId']})"
    assert done["message"] == f"Database migration finished. {given}"
    again = service.good("POST", "/migrate-with-backup", role="operator")
    assert again["migrationsRun"] == 0
    assert again["message"].startswith("Nothing to migrate.")

    same = service.good("POST", "/verify", role="operator")
    assert (same["runId"], same["differences"]) == (done["runId"], [])
    service.project.sql("create table sneaked (id integer)")
    other = service.refused(422, "POST", "/verify", role="operator")
    assert other["exitCode"] == 1
    assert all("sneaked" in one for one in other["differences"]), other
    assert other["differences"][0] in other["message"]
    runs = service.good("GET", "/history", role="viewer", params={"limit": 2})["runs"]
    assert [(r["command"], r["actor"]) for r in runs] == [("run", "operator"), ("run", "operator")]
    assert runs[1]["runId"] == done["runId"]
    assert (runs[1]["fromHeads"], runs[1]["toHeads"]) == ([[]], [["r2"]])
    assert runs[1].get("plan") is None


def test_back_by_the_downgrade_and_stamped(service):
    service.good("POST", "/migrate")
    back = service.good("POST", "/rollback", role="operator", params={"targetVersion": "r1"})
    assert (back["targetVersion"], back["migrationsRun"]) == ("r1", 1)
    assert back["message"].startswith("Database rollback finished.")
    assert service.project.heads == ["r1"]
    nowhere = service.refused(422, "POST", "/rollback", params={"targetVersion": "nowhere"})
    assert nowhere["exitCode"] == 1
    without = service.refused(400, "POST", "/stamp", params={"revision": "r2"})
    assert "makes no sense" in without["message"]
    assert "reason" in service.refused(400, "POST", "/stamp", params={"revision": "r2"}, json={})["message"]
    marked = service.good("POST", "/stamp", params={"revision": "r2"}, json={"reason": "by hand"})
    assert marked["message"] == "Database marked, nothing was run. Target version: r2"
    assert (marked["migrationsRun"], service.project.heads) == (0, ["r2"])
    assert [c[1] for c in service.project.sql("pragma table_info(users)")] == ["id", "name"], (
        "nothing was run"
    )


def test_backups_from_made_to_deleted(service):
    service.good("POST", "/migrate")
    service.project.sql("insert into users (name) values ('ana')")
    made = service.good("POST", "/backup/create", role="operator", params={"migrationVersion": "v7"})
    name = made["backupId"]
    assert made["message"] == f"Backup {name} was made."
    assert made["restored"] is False
    part = service.good("POST", "/backup/create", params={"tables": ["users"]})
    assert (part["partial"], part["tables"]) == (True, ["users"])
    for tables in (["nowhere"], ["a\n"], [""], ["x" * 256]):
        assert service.refused(400, "POST", "/backup/create", params={"tables": tables})["message"]
    listed = service.good("GET", "/backup/list", role="viewer")
    assert {name, part["backupId"]} <= {b["backupId"] for b in listed}
    assert all(b["files"] == [] and b["rowCounts"] == {} for b in listed), "short"
    shown = service.good("GET", f"/backup/{name}", role="viewer")
    assert shown["rowCounts"]["users"]["rows"] == 1

    service.project.sql("delete from users")
    restored = service.good("POST", f"/backup/{name}/restore", json={"reason": "lost rows"})
    assert restored["restored"] is True
    assert restored["rowsChanged"] == {"users": {"before": 0, "after": 1}}
    assert service.project.sql("select name from users") == [("ana",)]
    assert service.good("GET", f"/backup/{name}")["restored"] is True
    assert "lost rows" in service.project.call("audit", "show").out

    would = service.good("POST", "/backup/prune", params={"keep": 1, "dryRun": True})
    assert would["dryRun"] is True
    assert "would be deleted" in would["message"]
    assert len(service.good("GET", "/backup/list")) >= len(listed), "nothing is"
    gone = service.good("DELETE", f"/backup/{name}")
    assert gone == {"backupId": name, "message": f"Backup {name} was deleted."}
    for method, path in (("GET", ""), ("POST", "/restore"), ("DELETE", "")):
        missing = service.refused(404, method, f"/backup/{name}{path}")
        assert missing["message"] == f"Target dev has no backup {name}."


def test_a_revision_that_fails_says_where_and_what_the_database_is(service):
    service.good("POST", "/migrate")
    service.project.revision("r3", "r2", "insert into nowhere values (1)")
    before = service.project.dump()
    refused = service.refused(422, "POST", "/migrate-with-backup")
    assert (refused["stage"], refused["exitCode"], refused["state"]) == ("dry-run", 1, "untouched")
    assert "nowhere" in refused["message"]
    assert [f["file"] for f in refused["pending"]] == ["migrations/versions/r3.py"]
    failed = service.refused(424, "POST", "/migrate")
    assert (failed["stage"], failed["exitCode"], failed["state"]) == ("migrate", 6, "as before")
    assert service.project.dump() == before
    unbacked = service.refused(424, "POST", "/migrate-with-backup", params={"createBackup": False})
    assert (unbacked["stage"], unbacked["backupId"]) == ("migrate", None), "without one nothing is rehearsed"


def test_nothing_to_repair_and_a_run_that_was_killed(service):
    nothing = service.good("POST", "/repair", role="operator")
    assert "nothing to repair" in nothing["message"]
    done = service.good("POST", "/migrate")
    service.project.leave_unfinished(done["runId"])
    status = service.good("GET", "/status")
    assert status["exitCode"] == 7
    assert status["next"] == f"POST {PREFIX}/repair"
    refused = service.refused(500, "POST", "/migrate")
    assert refused["exitCode"] == 7
    assert f"POST {PREFIX}/repair" in refused["message"]
    would = service.good("POST", "/repair", params={"dryRun": True})
    assert would["dryRun"] is True
    assert would["message"].startswith("Found: ")
    assert service.good("GET", "/status")["exitCode"] == 7, "it was only said"
    mended = service.good("POST", "/repair")
    assert mended["state"] == "migrated"
    assert service.good("GET", "/status")["exitCode"] == 0


def test_F30_a_run_at_work_is_no_trouble(service):
    done = service.good("POST", "/migrate")
    service.project.leave_unfinished(done["runId"])
    lock = service.project.database.with_name("app.db.ci-migrate.lock")
    with file_lock(lock, "run_other", 0):
        status = service.good("GET", "/status", role="viewer")
        assert status["exitCode"] == 5
        assert "run_other" in status["running"]
        assert status["running"] in status["message"]
        assert status["next"] == f"GET {PREFIX}/status", "and nobody is sent to mend it"
        assert "repair" not in status["message"]
        assert service.refused(423, "POST", "/migrate")["exitCode"] == 5
    assert service.good("GET", "/status", role="viewer")["exitCode"] == 7


def test_tokens_of_a_target_that_asks_for_them(service):
    nothing = service.good("POST", "/migrate")
    assert nothing["migrationsRun"] == 2
    pending = service.refused(422, "POST", "/generate-token", role="approver")
    assert "there is nothing to approve" in pending["message"]
    token = service.good("POST", "/generate-token", role="approver", params={"targetVersion": "r1"})
    assert (set(token), token["validityMinutes"]) == ({"token", "validityMinutes"}, "30")
    asked = {"token": token["token"], "targetVersion": "r1"}
    assert service.good("GET", "/validate-token", role="operator", params=asked) == {"valid": True}
    assert service.good("GET", "/validate-token", params={"token": token["token"]}) == {"valid": False}
    assert service.good("GET", "/validate-token", params={"token": "0" * 36}) == {"valid": False}
    both = service.refused(400, "GET", "/validate-token", params={**asked, "backupId": "backup_x"})
    assert both["exitCode"] == 2
    assert "for one thing" in both["message"]


def test_a_job_is_answered_at_once_and_can_be_listened_to(service):
    started = service.call("POST", "/migrate", headers={"Prefer": "Respond-Async;x=1, wait=1"})
    assert started.status_code == 202
    assert started.headers["preference-applied"] == "respond-async"
    place = started.headers["location"].removeprefix(PREFIX)
    assert started.json()["status"] == "running"
    assert started.json()["result"] == {}
    events = re.findall(r"^event: (\S+)$", service.call("GET", f"{place}/events").text, re.MULTILINE)
    assert events[-1] == "finished"
    job = service.good("GET", place, role="viewer")
    assert (job["status"], job["exitCode"], job["actor"]) == ("finished", 0, "admin")
    assert [s["stage"] for s in job["stages"]] == [
        "check", "backup", "dry-run", "approve", "migrate", "verify", "repair",
    ]  # fmt: skip
    assert job["result"]["migrationsRun"] == 2
    assert job["message"] == job["result"]["message"]
    waited = service.call("POST", "/migrate")
    (newest, first) = service.good("GET", "/jobs", role="viewer")
    assert waited.headers["content-location"] == f"{PREFIX}/jobs/{newest['jobId']}"
    assert first["jobId"] == job["jobId"]
    unknown = "/jobs/job_20260101000000_0123456789ab"
    for path in (unknown, f"{unknown}/events"):
        assert "has no job" in service.refused(404, "GET", path)["message"]
    assert service.refused(400, "GET", "/jobs/nonsense")["exitCode"] == 2


def test_a_target_takes_one_job_at_a_time_and_none_at_the_end(service):
    target = service.client.service.targets["dev"]
    from ci_migrate.ledger import jobs

    left = jobs.begin(target.book(), target="dev", action="migrate", actor="ana", address="")
    target.busy.acquire()
    locked = service.refused(423, "POST", "/migrate")
    assert locked["exitCode"] == 5
    assert "Another job works on this target." in locked["message"]
    assert service.good("GET", "/status")["exitCode"] == 0, "who looks is not kept waiting"
    target.busy.release()
    jobs.end(target.book(), left.job_id, jobs.JobStatus.FINISHED, 0, {})
    service.client.service.stop()
    assert "The service is stopping." in service.refused(423, "POST", "/migrate")["message"]


def test_a_process_that_dies_is_settled_and_one_that_only_looked_is_said_to_have(service):
    service.good("POST", "/migrate")
    children = service.client.service.children
    perform = children.perform
    children.perform = lambda work: perform(work) if work.action == "settle" else None
    died = service.refused(503, "POST", "/migrate")
    assert died["exitCode"] == 8
    assert "There is no unfinished migration in the ledger." in died["message"]
    (job, _) = service.good("GET", "/jobs")
    assert job["status"] == "interrupted"
    looked = service.refused(503, "GET", "/plan")
    assert looked["message"] == "The process that did it died; the database was not touched."
    children.perform = lambda _work: None
    both = service.refused(500, "POST", "/migrate")
    assert both["message"] == f"The process died, and so did its repair. POST {PREFIX}/repair"


def test_a_bug_tells_the_caller_nothing_but_its_kind(service):
    def fail(_work):
        raise ValueError("postgresql://ana:s3cret@db/shop")

    service.client.service.children.perform = fail
    for method, path in (("POST", "/migrate"), ("GET", "/plan")):
        told = service.refused(500, method, path)
        assert told["exitCode"] == 3
        assert told["message"] in ("Bug in ci-migrate: ValueError", "Bug in ci-migrate: ValueError.")


def test_each_exit_code_has_its_status_and_title(service):
    body = {"message": "said", "more": [1]}
    for code in ExitCode:
        answer = Answer(exit_code=int(code), body=body)
        service.client.service.children.perform = lambda _work, answer=answer: answer
        told = service.call("GET", "/plan")
        assert told.status_code == STATUS[code]
        if code is ExitCode.OK:
            assert told.json() == body
            continue
        assert told.json() == {
            "title": TITLES[STATUS[code]], "status": STATUS[code], "message": "said", "exitCode": code, "more": [1],
        }  # fmt: skip


def test_F30_what_is_no_call_says_where_it_is_done(service):
    """To everybody, with a key or without."""
    words = {
        "/protect": "`ci-migrate protect --target TARGET`",
        "/unprotect/": "`ci-migrate unprotect --target TARGET`",
        "/token/revoke": "/openapi.json names all calls",
        "/backup": "`ci-migrate --help`",
        "": "`ci-migrate --help`",
    }
    before = service.project.everything()
    for path, told in words.items():
        for method, role in (("GET", None), ("POST", "admin"), ("DELETE", "viewer")):
            assert told in service.refused(404, method, path, role=role)["message"], path
    assert service.project.everything() == before, "and nothing is written"
    assert service.refused(405, "DELETE", "/migrate")["message"] == "Method Not Allowed"
    known = service.refused(404, "GET", "/backup/backup_x")["message"]
    assert known == "Target dev has no backup backup_x.", "what is ours keeps its own words"
