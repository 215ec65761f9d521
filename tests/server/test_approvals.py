"""What needs an approval is asked for, approved and done over HTTP alone: by three keys, for each kind of intent."""

import json
from pathlib import Path
from typing import Any

import pytest
from alembic_project import AlembicProject, new_project
from http_service import PREFIX, Served, make_key, served, served_here
from signing_support import Approver

SETTINGS = 'backup-dir = "./backups"\n[targets.shop]\nurl = "sqlite:///app.db"\nscratch = "server"\n'
HALF = """\
with op.get_context().autocommit_block():
    op.create_table("extra", sa.Column("id", sa.Integer))
import os
if os.environ.get("CI_MIGRATE_STAGE") == "migrate":
    raise ValueError("boom")
"""
ROLES = {"olga": "operator", "ana": "approver", "adam": "admin"}


class Desk:
    """A service on a protected target where nobody approves what they ask for or start; how it is approved there."""

    def __init__(self, service: Served, ana: Approver | None) -> None:
        self.service = service
        self.ana = ana

    def good(self, who: str, method: str, path: str, **how: Any) -> Any:
        return self.service.good(method, path, target="shop", role=who, **how)

    def refused(self, status: int, who: str, method: str, path: str, **how: Any) -> str:
        return self.service.refused(status, method, path, target="shop", role=who, **how)["message"]

    def token(self, what: dict[str, Any], *, closely: bool = False) -> dict[str, str]:
        """Asked for by the operator, approved by the approver: the body of the call that does it."""
        asked = self.good("olga", "POST", "/request-approval", params=what)
        assert asked["approvalRequest"]["requester"] == "olga"
        more = {**what, "planDigest": asked["planDigest"]}
        if self.ana is None:
            if closely:
                other = {**what, "planDigest": "0" * 64}
                assert "it changed since" in self.refused(422, "ana", "POST", "/generate-token", params=other)
            token = self.good("ana", "POST", "/generate-token", params=more)["token"]
        else:
            looked = self.service.refused(
                409, "POST", "/generate-token", target="shop", role="ana", params=more
            )
            assert looked["approvalRequest"]["requester"] == "olga", "who looks does not ask"
            project = self.service.project
            file = project.write("request.json", json.dumps(asked["approvalRequest"]))
            signed = project.call("approve", "--key", str(self.ana.file), "--reason", "seen", str(file))
            assert signed.code == 0, signed.text
            token = signed.out.strip()
        if closely:
            assert "approver" in self.refused(403, "olga", "POST", "/generate-token", params=what)
            valid = self.good("olga", "GET", "/validate-token", params={**what, "token": token})
            assert valid == {"valid": True}
        return {"confirmationToken": token, "confirmedBy": "ana", "reason": "ticket 4711"}

    def done(self, method: str, path: str, what: dict[str, Any], who: str = "adam", **how: Any) -> Any:
        """Refused without a token, which names the call that asks for one; done with it, once."""
        told = self.refused(403, who, method, path, **how)
        assert "/api/database/migration/" in told, told
        call = "request-approval" if self.ana else "generate-token"
        assert f"{call}?" in told, told
        body = self.token(what)
        answer = self.service.call(method, path, target="shop", role=who, json=body, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(params=["confirmed", "signed"])
def desk(request, tmp_path):
    (tmp_path / "shop").mkdir()
    project = new_project(tmp_path / "shop")
    project.settings(SETTINGS)
    for arguments in (("migrate", "--to", "r1"), ("backup", "create"), ("migrate",)):
        assert project.call(*arguments).code == 0
    ana = Approver("ana", tmp_path) if request.param == "signed" else None
    rules = ["--forbid-self-approval", *(["--approver", ana.line] if ana else [])]
    done = project.call("protect", *rules, "--by", "admin")
    assert done.code == 0, done.text
    keys = {("shop", name): make_key(project, name, role, "shop") for name, role in ROLES.items()}
    with served(project, keys) as service:
        yield Desk(service, ana)
    assert project.call("audit", "verify").code == 0
    told = project.call("audit", "show").out
    assert "ticket 4711" in told
    assert "Traceback" not in (project.folder / "serve.log").read_text()


def backups(project: AlembicProject) -> list[str]:
    return sorted(p.name for p in Path(project.folder, "backups").glob("backup_*"))


def test_F22_a_deletion_is_asked_for_approved_and_done_over_http(desk) -> None:
    first, second, _ = backups(desk.service.project)
    body = desk.token({"deleteBackup": first}, closely=True)
    wrong = desk.refused(403, "adam", "DELETE", f"/backup/{second}", json=body)  # approved was another one
    assert first in wrong
    assert second in wrong
    assert desk.good("adam", "DELETE", f"/backup/{first}", json=body)["backupId"] == first
    assert first not in backups(desk.service.project)


def test_F22_each_other_intent_is_asked_for_approved_and_done_over_http(desk) -> None:
    project = desk.service.project
    desk.good("olga", "POST", "/backup/create")
    pruned = desk.good("adam", "POST", "/backup/prune", params={"keep": 1, "dryRun": "true"})["deleted"]
    assert pruned
    named = {"deleteBackup": pruned}
    assert desk.done("POST", "/backup/prune", named, params={"keep": 1})["deleted"] == pruned
    name, users = backups(project)[-1], project.sql("select * from users")
    project.sql("insert into users (name) values ('Ben')")
    rows = {"backupId": name, "tables": "users"}
    desk.done("POST", f"/backup/{name}/restore", rows, params={"tables": "users"})
    assert project.sql("select * from users") == users
    assert desk.done("POST", f"/backup/{name}/restore", {"backupId": name})["restored"] is True
    shown = desk.good("adam", "POST", "/backup/drop-old", params={"dryRun": "true"})
    assert len(shown["dropped"]) == 1
    assert desk.done("POST", "/backup/drop-old", {"dropOld": "true"})["dropped"] == shown["dropped"]
    assert desk.good("adam", "POST", "/backup/drop-old")["dropped"] == []
    stamp = desk.token({"stamp": "r1"})
    assert desk.refused(403, "adam", "POST", "/stamp", params={"revision": "base"}, json=stamp)
    assert desk.good("adam", "POST", "/stamp", params={"revision": "r1"}, json=stamp)["targetVersion"] == "r1"


def test_F22_a_repair_is_asked_for_approved_and_done_over_http(desk) -> None:
    project = desk.service.project
    text = SETTINGS + "auto-rollback = false\n"
    project.settings(text)
    before = project.dump()
    project.revision("r3", "r2", HALF)
    asked = desk.service.refused(403, "POST", "/migrate-with-backup", target="shop", role="olga")
    assert asked["approvalRequest"]["requester"] == "olga"
    if desk.ana is None:
        token = desk.good("ana", "POST", "/generate-token")["token"]
    else:
        file = project.write("request.json", json.dumps(asked["approvalRequest"]))
        done = project.call(
            "approve", "--key", str(desk.ana.file), "--reason", "x", "--back", "none", str(file)
        )
        token = done.out.strip()
    body = {"confirmationToken": token, "confirmedBy": "ana", "reason": "ticket 4711"}
    failed = desk.service.refused(
        500, "POST", "/migrate-with-confirmation", target="shop", role="olga", json=body
    )
    assert failed["exitCode"] == 7
    run = {"repair": failed["runId"]}
    assert desk.refused(400, "olga", "POST", "/request-approval", params={"repair": "run_x"})
    assert desk.refused(400, "olga", "POST", "/request-approval", params={"forward": "true"})
    covered = desk.ana is None  # a confirmation covers the ways back; what was signed names none
    mended = (
        desk.good("olga", "POST", "/repair") if covered else desk.done("POST", "/repair", run, who="olga")
    )
    assert mended["state"] == "as before"
    assert project.dump() == before


def test_F26_who_is_told_that_nothing_is_rehearsed_has_not_asked(tmp_path) -> None:
    """An approver who asks too early gets no request, and may sign the one that a run writes later."""
    (tmp_path / "shop").mkdir()
    project = new_project(tmp_path / "shop")
    project.settings(SETTINGS)
    assert project.call("migrate", "--to", "r1").code == 0
    ana = Approver("ana", tmp_path)
    rules = ["--forbid-self-approval", "--approver", ana.line, "--by", "admin"]
    assert project.call("protect", *rules).code == 0
    keys = {("shop", name): make_key(project, name, role, "shop") for name, role in ROLES.items()}
    with served(project, keys) as service:
        early = service.refused(409, "POST", "/generate-token", target="shop", role="ana")
        assert "sign the request with their SSH keys.\nStart the migration" in early["message"]
        assert "approvalRequest" not in early
        asked = service.refused(403, "POST", "/migrate-with-backup", target="shop", role="olga")
        assert asked["approvalRequest"]["requester"] == "olga"
        file = project.write("request.json", json.dumps(asked["approvalRequest"]))
        signed = project.call("approve", "--key", str(ana.file), "--reason", "seen", str(file))
        assert signed.code == 0, signed.text
        body = {"confirmationToken": signed.out.strip(), "confirmedBy": "ana", "reason": "ticket 4711"}
        done = service.call("POST", "/migrate-with-confirmation", target="shop", role="olga", json=body)
        assert done.status_code == 200, done.text


# --------------------------------------------------------------------------- what somebody else changed meanwhile

SOMEBODY = """\
import sqlite3
from ci_migrate import hookimpl

@hookimpl
def ci_migrate_after_stage(result):
    if result.stage == "migrate":
        with sqlite3.connect({file!r}) as connection:
            connection.execute("create table events_2026_12 (at integer)")
        connection.close()
"""
ACCEPT = {"acceptForeign": "true"}


@pytest.fixture
def changed(tmp_path):
    """A service on a target whose migration is complete, and to which somebody else added a table meanwhile."""

    def make(more: str = "") -> Served:
        project = new_project(tmp_path / "shop")
        settings = 'plugins = ["somebody.py"]\n' + SETTINGS
        project.settings(settings)
        project.sql("select 1")
        project.write("somebody.py", SOMEBODY.format(file=str(project.database)))
        assert project.call("run").code == 7
        project.write("somebody.py", "")
        project.settings(settings + more)
        return project

    return make


def test_F104_what_somebody_else_changed_is_accepted_over_http(changed) -> None:
    project = changed()
    with served_here(
        project, {("shop", name): role for name, role in {**ROLES, "vic": "viewer"}.items()}
    ) as shop:
        accept = f"POST {PREFIX}/repair?acceptForeign=true"
        status = shop.good("GET", "/status", target="shop", role="vic")
        assert status["exitCode"] == 7
        assert "events_2026_12" in status["message"]
        assert accept in status["message"]
        for params in ({}, {"forward": "true"}):
            plain = shop.refused(500, "POST", "/repair", target="shop", role="olga", params=params)
            assert (plain["exitCode"], accept in plain["message"]) == (7, True), plain
        both = shop.refused(
            400, "POST", "/repair", target="shop", role="olga", params={**ACCEPT, "forward": "true"}
        )
        assert both["exitCode"] == 2
        small = shop.refused(403, "POST", "/repair", target="shop", role="vic", params=ACCEPT)
        assert "this needs operator" in small["message"]
        shown = shop.call(
            "POST", "/repair", target="shop", role="olga", params={**ACCEPT, "dryRun": "true"}
        ).json()
        assert "events_2026_12" in shown["message"]
        assert shop.good("GET", "/status", target="shop", role="vic")["exitCode"] == 7, "only shown"
        done = shop.good("POST", "/repair", target="shop", role="olga", params=ACCEPT)
        assert "accepted as somebody else's" in done["message"].lower()
        assert (done["state"], done["dryRun"]) == ("migrated", False)
        assert shop.good("GET", "/status", target="shop", role="vic")["exitCode"] == 0
        again = shop.good("POST", "/repair", target="shop", role="olga", params=ACCEPT)
        assert "nothing to repair" in again["message"]
        accepted = [r for r in project.ledger().audit_records() if r.kind == "foreign changes accepted"]
        assert len(accepted) == 1
        assert "events_2026_12" in str(accepted[0].facts)


def test_F104_on_production_it_takes_an_approval_of_this_very_list(changed) -> None:
    project = changed('tags = ["production"]\n')
    with served_here(project, {("shop", name): role for name, role in ROLES.items()}) as shop:
        desk = Desk(shop, None)
        told = desk.refused(403, "olga", "POST", "/repair", params=ACCEPT)
        run = next(iter(project.ledger().history(project.ledger().database_id(None)))).run_id
        assert f"POST {PREFIX}/generate-token?repair={run}&acceptForeign=true" in told
        what = {"repair": run, **ACCEPT}
        for wrong, status in (
            ({**what, "forward": "true"}, 400),
            (ACCEPT, 400),
            ({**what, "repair": "run_x"}, 400),
        ):
            assert desk.refused(status, "olga", "POST", "/request-approval", params=wrong)
        other = desk.token({"repair": run})  # of a repair that leads elsewhere
        assert "accept" in desk.refused(403, "olga", "POST", "/repair", params=ACCEPT, json=other)
        body = desk.token(what, closely=True)
        project.sql("create table came_later (a integer)")
        grown = desk.refused(403, "olga", "POST", "/repair", params=ACCEPT, json=body)
        assert "came_later" in grown, "what was not approved is named"
        project.sql("drop table came_later")
        done = desk.good("olga", "POST", "/repair", params=ACCEPT, json=body)
        assert done["state"] == "migrated"
        assert desk.refused(400, "olga", "POST", "/request-approval", params=what)
        assert desk.good("olga", "GET", "/status")["exitCode"] == 0
    told = [r.facts["reason"] for r in project.ledger().audit_records() if r.kind == "repaired"]
    assert told[-1] == "ticket 4711 (confirmed by ana)"
