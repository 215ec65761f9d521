"""The five scenarios of the manual that this grew from, by a real HTTP client against a real service; and its edges."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic_project import new_project
from http_service import PREFIX, ROLES, WAITS, make_key, served, wait_for
from signing_support import Approver

SETTINGS = """\
[targets.dev]
url = "sqlite:///app.db"
[targets.shop]
url = "sqlite:///shop.db"
tags = ["production"]
require-confirmation = false
scratch = "server"
[targets.production]
url = "sqlite:///production.db"
scratch = "server"
"""

NEEDS = {
    ("POST", "/migrate"): "operator",
    ("POST", "/migrate-with-backup"): "operator",
    ("POST", "/migrate-with-confirmation"): "operator",
    ("POST", "/rollback"): "operator",
    ("POST", "/request-approval"): "operator",
    ("POST", "/generate-token"): "approver",
    ("GET", "/validate-token"): "operator",
    ("POST", "/backup/create"): "operator",
    ("GET", "/backup/list"): "viewer",
    ("GET", "/backup/{backupId}"): "viewer",
    ("POST", "/backup/{backupId}/restore"): "admin",
    ("DELETE", "/backup/{backupId}"): "admin",
    ("GET", "/status"): "viewer",
    ("GET", "/history"): "viewer",
    ("GET", "/plan"): "operator",
    ("POST", "/dry-run"): "operator",
    ("POST", "/verify"): "operator",
    ("POST", "/repair"): "operator",
    ("POST", "/stamp"): "admin",
    ("POST", "/backup/prune"): "admin",
    ("POST", "/backup/drop-old"): "admin",
    ("GET", "/jobs"): "viewer",
    ("GET", "/jobs/{jobId}"): "viewer",
    ("GET", "/jobs/{jobId}/events"): "viewer",
}
"""Every endpoint but the two that need no key, with the smallest role that it takes."""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    project = new_project(tmp_path_factory.mktemp("served"))
    project.settings(SETTINGS)
    keys = {("dev", role): make_key(project, role, role, "dev") for role in ROLES}
    for target in ("shop", "production"):
        keys[target, "admin"] = make_key(project, "ana", "admin", target)
    with served(project, keys, "--failures", "1000") as running:
        yield running
    log = (project.folder / "serve.log").read_text()
    assert "Traceback" not in log
    assert not any(key in log for key in keys.values())


def as_a_job(service, method, path, **how):
    """The result of a call that is answered at once, listened to until it ends."""
    started = service.call(method, path, headers={"Prefer": "wait=1, respond-async"}, **how)
    assert started.status_code == 202, started.text
    assert started.headers["preference-applied"] == "respond-async"
    place = started.headers["location"].removeprefix(PREFIX)
    assert place == f"/jobs/{started.json()['jobId']}"
    events = [line for line in service.call("GET", f"{place}/events").text.splitlines() if "event:" in line]
    assert events[-1] == "event: finished"
    job = service.good("GET", place, role="viewer")
    assert (job["status"], job["exitCode"], job["actor"]) == ("finished", 0, "admin")
    assert job["jobId"] == service.good("GET", "/jobs", role="viewer")[0]["jobId"]
    return job["result"]


def test_a_development_migration_and_a_rollback_then_restore(service):
    done = service.good("POST", "/migrate", role="operator")
    assert done["message"].startswith("Database migration finished. Target version: r2, migrations run: 2")
    assert (done["targetVersion"], done["migrationsRun"], done["target"]) == ("r2", 2, "dev")
    service.project.sql("insert into users (name) values ('Ana')")
    made = as_a_job(service, "POST", "/backup/create", params={"migrationVersion": "2.0.0"})
    assert (made["migrationVersion"], made["revision"], made["status"]) == ("2.0.0", "r2", "SUCCESS")
    back = service.good("POST", "/rollback", role="operator", params={"targetVersion": "r1"})
    assert back["message"].startswith("Database rollback finished. Target version: r1, migrations undone: 1")
    assert service.project.heads == ["r1"]
    listed = service.good("GET", "/backup/list", role="viewer")
    assert made["backupId"] in [b["backupId"] for b in listed]
    assert not any(b["restored"] for b in listed)
    restored = service.good("POST", f"/backup/{made['backupId']}/restore")
    assert restored["restored"] is True
    assert service.project.heads == ["r2"]
    shown = service.good("GET", f"/backup/{made['backupId']}", role="viewer")
    assert shown["restored"] is True
    assert set(shown) >= {"backupPath", "backupTime", "backupSize", "description", "files"}
    gone = service.good("DELETE", f"/backup/{made['backupId']}")
    assert gone["backupId"] == made["backupId"]
    assert service.refused(404, "GET", f"/backup/{made['backupId']}", role="viewer")["message"]


def test_production_with_backup_and_a_failure_then_list_and_restore(service):
    assert service.refused(422, "POST", "/migrate", target="shop")["exitCode"] == 1
    done = service.good("POST", "/migrate-with-backup", target="shop", params={"createBackup": "true"})
    assert done["backupId"] in done["message"]
    bad = service.project.revision("r3", "r2", "insert into nowhere values (1)")
    try:
        failed = service.refused(422, "POST", "/migrate-with-backup", target="shop")
    finally:
        bad.unlink()
    assert failed["stage"] == "dry-run"
    assert "untouched" in failed["message"]
    listed = service.good("GET", "/backup/list", target="shop")
    assert done["backupId"] in [b["backupId"] for b in listed]
    service.good("POST", f"/backup/{done['backupId']}/restore", target="shop")
    assert not [b for b in service.good("GET", "/backup/list", target="dev") if b["target"] == "shop"]


def test_production_with_a_token_that_is_used_once(service):
    call = {"target": "production"}
    stopped = service.refused(403, "POST", "/migrate-with-backup", **call)
    assert stopped["exitCode"] == 4
    assert stopped["approvalRequest"]["planDigest"]
    made = service.good("POST", "/generate-token", **call)
    assert set(made) == {"token", "validityMinutes"}
    assert made["validityMinutes"] == "30"
    for token, valid in ((made["token"], True), ("0" * 36, False)):
        found = service.good("GET", "/validate-token", params={"token": token}, **call)
        assert found == {"valid": valid}
    body = {"confirmationToken": made["token"], "confirmedBy": "Ben", "reason": "release 2"}
    done = service.good("POST", "/migrate-with-confirmation", json=body, **call)
    assert (done["targetVersion"], done["migrationsRun"]) == ("r2", 2)
    again = service.good("POST", "/migrate-with-confirmation", json=body, **call)
    assert again["migrationsRun"] == 0
    assert (
        "used already" in again["warnings"][-1]
    )  # nothing was pending: as the command line, and as the ledger says
    assert "exit 0" in service.project.call("history", "--target", "production").out.splitlines()[0]
    told = service.project.call("audit", "show", "--target", "production").out
    assert "release 2 (confirmed by Ben)" in told
    assert '"key":"ana"' in told
    assert made["token"] not in told + (service.project.folder / "serve.log").read_text()
    assert service.project.call("audit", "verify", "--target", "production").code == 0


def path_of(path: str) -> str:
    return path.replace("{backupId}", "backup_x").replace("{jobId}", "job_20260101000000_0123456789ab")


def test_every_endpoint_is_refused_without_key_with_a_wrong_one_and_with_too_small_a_role(service):
    paths = service.call("GET", "/openapi.json", role=None).json()["paths"]
    listed = {(m.upper(), p.removeprefix(PREFIX)) for p, methods in paths.items() for m in methods}
    assert listed == {*NEEDS, ("GET", "/healthz")}
    wrong = service.keys["dev", "admin"][:-1] + ("A" if service.keys["dev", "admin"][-1] != "A" else "B")
    other = service.keys["production", "admin"]
    for (method, path), needed in NEEDS.items():
        service.refused(401, method, path_of(path), role=None)
        for key in (wrong, other, "x"):
            assert service.call(method, path_of(path), key=key).status_code == 401
        for role in ROLES[: ROLES.index(needed)]:
            assert needed in service.refused(403, method, path_of(path), role=role)["message"]


def test_edges(service):
    health = service.client.get(f"{service.url}/healthz")
    assert health.json() == {"status": "ok"}
    assert health.headers["x-content-type-options"] == "nosniff"
    assert "server" not in health.headers
    assert service.refused(413, "POST", "/rollback", content=b"x" * 70_000)
    stream = (b"x" * 1000 for _ in range(70))
    assert service.refused(413, "POST", "/rollback", content=stream)
    assert service.refused(400, "POST", "/rollback")["message"].startswith("The call makes no sense")
    assert service.refused(400, "POST", "/migrate-with-confirmation", content=b"{")
    assert service.refused(404, "GET", "/nowhere", role="viewer")
    assert service.refused(405, "PUT", "/migrate", role="viewer")
    long = {
        "token": "a" * 32_768,
        "targetVersion": "r1",
        "backupId": "backup_x",
    }  # both: refused before any look
    assert "one thing" in service.refused(400, "GET", "/validate-token", params=long)["message"]
    assert service.refused(400, "GET", "/validate-token", params={"token": "\u00fc"})["message"]
    wrong = service.client.post(f"{service.url}/ui/login", data={"key": "x", "target": "dev"})
    assert wrong.status_code == 401
    told = '"path":"/ui/login","status":401}'
    wait_for(lambda: told in service.project.call("audit", "show", "--target", "dev").out, "not in the trail")
    missing = service.client.get(
        f"{service.url}{PREFIX}/jobs", headers={"Authorization": f"Bearer {service.keys['dev', 'viewer']}"}
    )
    assert missing.status_code == 200  # the key says which target
    assert missing.json() == service.good("GET", "/jobs", role="viewer")
    assert service.call("GET", "/jobs", key=service.keys["dev", "admin"], target="other").status_code == 401


@pytest.mark.long
def test_where_approvers_sign_and_nobody_approves_what_they_start(tmp_path):
    (tmp_path / "shop").mkdir()
    project = new_project(tmp_path / "shop")
    project.settings('[targets.shop]\nurl = "sqlite:///app.db"\nscratch = "server"\n')
    ben = Approver("ben", tmp_path)
    done = project.call("protect", "--approver", ben.line, "--forbid-self-approval", "--by", "admin")
    assert done.code == 0, done.text
    keys = {("shop", name): make_key(project, name, "admin", "shop") for name in ("ana", "ben")}
    call = {"target": "shop", "role": "ana"}
    with served(project, keys) as service:
        early = service.refused(409, "POST", "/generate-token", **call)
        assert "approvalRequest" not in early  # nothing was rehearsed yet
        stopped = service.refused(403, "POST", "/migrate-with-backup", **call)
        asked = service.refused(409, "POST", "/generate-token", **call)
        for request in (stopped["approvalRequest"], asked["approvalRequest"]):
            file = project.write("request.json", json.dumps(request))
            signed = project.call("approve", "--key", str(ben.file), "--reason", "seen", str(file))
            assert signed.code == 0, signed.text
            body = {"confirmationToken": signed.out.strip(), "confirmedBy": "ben", "reason": "release 2"}
            own = service.refused(
                403, "POST", "/migrate-with-confirmation", json=body, target="shop", role="ben"
            )
            assert "ben" in own["message"]
        done = service.good("POST", "/migrate-with-confirmation", json=body, **call)
        assert done["targetVersion"] == "r2"
        assert service.good("POST", "/migrate-with-confirmation", json=body, **call)["migrationsRun"] == 0


@pytest.mark.long
def test_no_key_uses_a_token_that_it_made_where_that_is_forbidden(tmp_path):
    project = new_project(tmp_path)
    project.settings('[targets.shop]\nurl = "sqlite:///app.db"\nscratch = "server"\n')
    assert project.call("protect", "--forbid-self-approval", "--by", "admin").code == 0
    keys = {("shop", name): make_key(project, name, "approver", "shop") for name in ("ana", "ben")}
    with served(project, keys) as service:
        made = service.good("POST", "/generate-token", target="shop", role="ben")
        body = {"confirmationToken": made["token"], "confirmedBy": "whoever", "reason": "release 2"}
        call = {"target": "shop", "json": body}
        own = service.refused(403, "POST", "/migrate-with-confirmation", role="ben", **call)
        assert "ben asks and approves" in own["message"]
        assert service.good("POST", "/migrate-with-confirmation", role="ana", **call)["targetVersion"] == "r2"


@pytest.mark.long
def test_told_to_stop_it_stops_at_a_statement_and_answers(tmp_path):
    project = new_project(tmp_path)
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate").exit_code == 0
    project.revision("r3", "r2", WAITS)
    before = project.dump()
    keys = {("dev", "admin"): make_key(project, "ana", "admin", "dev")}
    with served(project, keys) as service, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(service.refused, 503, "POST", "/migrate")
        wait_for((project.folder / "reached").exists, "the migration never came to its middle")
        service.process.send_signal(signal.SIGTERM)
        (project.folder / "go").touch()
        assert asked.result(60)["exitCode"] == 143
        assert service.process.wait(60) == -signal.SIGTERM
    assert project.dump() == before


@pytest.mark.long
def test_a_revision_that_fails_is_put_back_and_backups_of_tables(tmp_path):
    project = new_project(tmp_path)
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate").exit_code == 0
    project.sql("insert into users (name) values ('Ana')")
    before = project.dump()
    bad = "insert into users (name) values ('half'); insert into nowhere values (1)"
    project.revision("r3", "r2", bad)
    keys = {("dev", "admin"): make_key(project, "ana", "admin", "dev")}
    with served(project, keys) as service:
        body = {"confirmationToken": "0" * 36, "confirmedBy": "Ben", "reason": "to see"}
        assert service.refused(403, "POST", "/migrate-with-confirmation", json=body)["exitCode"] == 4
        body["confirmationToken"] = service.good("POST", "/generate-token")["token"]
        failed = service.refused(422, "POST", "/migrate-with-confirmation", json=body)
        assert (failed["exitCode"], failed["stage"]) == (
            1,
            "dry-run",
        )  # the token was good, the revision is not
        failed = service.refused(424, "POST", "/migrate")
        assert (failed["exitCode"], failed["state"]) == (6, "as before")
        assert project.dump() == before
        made = service.good("POST", "/backup/create", params={"tables": ["users"]})
        assert (made["partial"], made["tables"]) == (True, ["users"])
        assert service.refused(400, "POST", "/backup/create", params={"tables": ["nowhere"]})["exitCode"] == 2
        assert service.refused(400, "POST", "/backup/create", params={"tables": ["a\n"]})


@pytest.mark.long
@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_on_servers_too(request, tmp_path, engine):
    url = request.getfixturevalue(f"{engine}_url")
    project = new_project(tmp_path)
    project.environ["DATABASE_URL"] = (
        url if isinstance(url, str) else url.render_as_string(hide_password=False)
    )
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    keys = {("dev", "admin"): make_key(project, "ana", "admin", "dev")}
    with served(project, keys) as service:
        done = service.good("POST", "/migrate-with-backup")
        assert (done["targetVersion"], done["migrationsRun"]) == ("r2", 2)
        made = service.good("POST", "/backup/create")
        assert service.good("POST", "/rollback", params={"targetVersion": "r1"})["targetVersion"] == "r1"
        again = service.good("POST", f"/backup/{made['backupId']}/restore")
        assert again["restored"] is True
        listed = service.good("GET", "/backup/list")
        assert [b["backupId"] for b in listed if b["restored"]] == [made["backupId"]]
        assert service.good("POST", "/migrate")["migrationsRun"] == 0  # r2 is back
        token = service.good("POST", "/generate-token", params={"backupId": made["backupId"]})["token"]
        valid = {"token": token, "backupId": made["backupId"]}
        assert service.good("GET", "/validate-token", params=valid) == {"valid": True}
    assert project.call("audit", "verify").code == 0
    log = (project.folder / "serve.log").read_text()
    assert "Traceback" not in log
