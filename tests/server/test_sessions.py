"""Who is logged in on the page: for a time, so many at once, until they log out or their key is revoked."""

import re

import pytest
from alembic_project import new_project
from http_service import served_here

from ci_migrate.ledger import keys
from ci_migrate.server import sessions
from ci_migrate.server.pages import COOKIE
from ci_migrate.server.sessions import Session, Sessions


def test_a_session_ends_by_itself_and_by_hand(monkeypatch):
    moment = [1000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: moment[0])
    opened = Sessions()
    first, second = opened.begin(Session("dev", "key")), opened.begin(Session("dev", "key"))
    assert first != second
    assert opened.find(first).csrf != opened.find(second).csrf
    assert "key" not in repr(opened.find(first)).replace("Session(target='dev')", "")
    opened.end(first)
    opened.end("nobody's")
    assert opened.find(first) is None
    moment[0] += sessions.LIFETIME
    assert opened.find(second) is not None
    moment[0] += 0.1
    assert opened.find(second) is None


def test_of_too_many_the_oldest_ends(monkeypatch):
    monkeypatch.setattr(sessions, "MOST", 2)
    opened = Sessions()
    names = [opened.begin(Session("dev", "key")) for _ in range(3)]
    assert [opened.find(name) is not None for name in names] == [False, True, True]


# --------------------------------------------------------------------------- by the page


@pytest.fixture
def service(tmp_path):
    project = new_project(tmp_path / "project")
    project.settings('[targets.production]\nurl = "sqlite:///app.db"\nscratch = "server"\n')
    project.sql("select 1")
    roles = {("production", role): role for role in ("viewer", "approver", "admin")}
    with served_here(project, roles) as service:
        yield service


def send(service, path, method="POST", headers=None, **fields):
    return service.client.request(method, f"{service.url}/ui{path}", data=fields or None, headers=headers)


def log_in(service, role):
    service.client.cookies.clear()
    answer = send(service, "/login", key=f" {service.keys['production', role]} ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")
    page = send(service, "/", "GET")
    assert page.status_code == 200, page.text
    return re.search(r'name="csrf" value="([^"]+)"', page.text)[1], answer


def test_the_cookie_is_for_this_page_alone(service):
    _, answer = log_in(service, "viewer")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("HttpOnly", "SameSite=strict", "Path=/ui"):
        assert part in cookie
    assert service.keys["production", "viewer"] not in cookie


def test_without_a_session_the_login_is_shown(service):
    for path in ("/", "/runs/x", "/jobs/x", "/backups/x"):
        answer = send(service, path, "GET")
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/login"), path
    assert send(service, "/restore", reason="x").headers["location"] == "/ui/login"
    assert send(service, "/login", key="cim_000000000000_" + "a" * 43).status_code == 401
    assert send(service, "/login", "GET").status_code == 200


def test_a_revoked_key_ends_the_session(service):
    log_in(service, "approver")
    ledger = service.client.service.targets["production"].book()
    (record,) = [key for key in keys.list_keys(ledger) if key.name == "approver"]
    keys.revoke(ledger, record.key_id, by="test")
    assert send(service, "/", "GET").headers["location"] == "/ui/login"


def test_forms_of_another_site_or_session_and_of_too_small_a_role_do_nothing(service):
    csrf, _ = log_in(service, "approver")
    form = {"csrf": csrf, "run": "x", "reason": "no"}
    for origin in ("http://evil.example.com", "null", "http://localhost:81"):
        other = send(service, "/deny", headers={"Origin": origin}, **form)
        assert (other.status_code, other.json()["message"]) == (403, "This form comes from another site.")
    for wrong in ("", "x", "\u00fc"):
        assert "not of this session" in send(service, "/deny", **{**form, "csrf": wrong}).json()["message"]
    small = send(service, "/restore", **{**form, "backup": "backup_x"})
    assert (small.status_code, "this needs admin" in small.text) == (403, True)
    unreasoned = send(service, "/deny", **{**form, "reason": " \t"})
    assert (unreasoned.status_code, "A reason is needed" in unreasoned.text) == (400, True)
    ledger = service.client.service.targets["production"].book()
    assert "approval denied" not in [r.kind for r in ledger.audit_records(50)]
    assert send(service, "/deny", headers={"Origin": "http://localhost"}, **form).status_code == 303
    assert "approval denied" in [r.kind for r in ledger.audit_records(50)]


def test_what_is_not_there_is_said_and_nothing_starts(service):
    csrf, _ = log_in(service, "admin")
    for path in ("/runs/nothing", "/jobs/nothing", "/backups/nothing"):
        assert send(service, path, "GET").status_code == 404
    gone = send(service, "/restore", csrf=csrf, reason="x", backup="backup_x")
    assert gone.status_code == 404
    waits = send(service, "/approve", csrf=csrf, reason="x", plan="0")
    assert (waits.status_code, "does not wait any more" in waits.text) == (409, True)
    assert service.good("GET", "/jobs", target="production") == []


def test_logged_out_is_out(service):
    csrf, _ = log_in(service, "viewer")
    cookies = dict(service.client.cookies)
    assert send(service, "/logout", csrf=csrf).headers["location"] == "/ui/login"
    service.client.cookies.update(cookies)  # whoever kept it
    assert send(service, "/", "GET").headers["location"] == "/ui/login"
