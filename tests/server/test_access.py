"""Who is let in: keys, roles, names and addresses; nobody without a good key learns which targets there are."""

from datetime import timedelta

import pytest
from alembic_project import new_project
from http_service import ROLES, served_here

from ci_migrate.ledger import keys
from ci_migrate.ledger.keys import Role
from ci_migrate.server.access import UNKNOWN
from ci_migrate.server.hosts import Hosts
from ci_migrate.server.middleware import BODY_LIMIT, HEADERS


@pytest.fixture
def service(tmp_path):
    project = new_project(tmp_path / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    project.sql("select 1")
    with served_here(project, {("dev", role): role for role in ROLES}, failures=3) as service:
        yield service


async def in_pieces(size):
    """A body whose length nobody announces."""
    for start in range(0, size, 1000):
        yield b"x" * min(1000, size - start)


def ledger_of(service):
    return service.client.service.targets["dev"].book()


def test_without_a_good_key_all_answers_are_the_same(service):
    good = service.keys["dev", "viewer"]
    told = []
    for key, target in (
        (None, "dev"),
        (good[:-1] + ("A" if good[-1] != "A" else "B"), "dev"),
        (good, "other"),
    ):
        answer = service.call("GET", "/status", key=key, role=None, target=target)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        told.append(answer.text)
        service.client.service.failures._seen.clear()
    assert set(told) == {told[0]}
    assert UNKNOWN in told[0]
    assert "dev" not in told[0]


def test_a_revoked_key_and_one_that_expired_are_good_for_nothing(service):
    key, record = keys.create(
        ledger_of(service), name="ben", role=Role.ADMIN, target="dev", by="test", days=1
    )
    assert service.call("GET", "/jobs", key=key).status_code == 200
    keys.revoke(ledger_of(service), record.key_id, by="test")
    assert service.call("GET", "/jobs", key=key).status_code == 401
    late, record = keys.create(
        ledger_of(service), name="eve", role=Role.ADMIN, target="dev", by="test", days=1
    )
    with ledger_of(service).writing() as connection:
        ended = record.created - timedelta(seconds=1)
        chosen = keys.keys.c.key_id == record.key_id
        connection.execute(keys.update(keys.keys).where(chosen).values(expires=ended))
    assert service.call("GET", "/jobs", key=late).status_code == 401


def test_a_role_may_do_what_those_before_it_may(service):
    for role in ROLES:
        assert service.call("GET", "/jobs", role=role).status_code == 200
    small = service.refused(403, "DELETE", "/backup/backup_x", role="approver")
    assert small["message"] == "The key approver has the role approver; this needs admin."
    assert Role.ADMIN.covers(Role.VIEWER)
    assert not Role.VIEWER.covers(Role.OPERATOR)


def test_an_address_that_fails_too_often_waits_but_a_good_key_is_let_in(service):
    for _ in range(3):
        service.refused(401, "GET", "/status", role=None)
    answer = service.call("GET", "/status", role=None)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert service.call("GET", "/jobs").status_code == 200
    service.client.address = "127.0.0.2"
    service.refused(401, "GET", "/status", role=None)


def test_the_key_says_which_target(service):
    headers = {"Authorization": f"Bearer {service.keys['dev', 'viewer']}"}
    path = f"{service.url}/api/database/migration/jobs"
    assert service.client.request("GET", path, headers=headers).json() == []


def test_every_answer_has_the_headers_and_too_much_is_not_read(service):
    for answer in (
        service.client.request("GET", f"{service.url}/healthz"),
        service.call("GET", "/jobs"),
        service.call("GET", "/status", role=None),
        service.call("GET", "/nowhere"),
    ):
        for name, value in HEADERS:
            assert answer.headers[name.decode()] == value.decode(), answer.request.url
    service.refused(413, "POST", "/rollback", content=in_pieces(BODY_LIMIT + 1))
    announced = service.call(
        "POST", "/rollback", content=b"x", headers={"Content-Length": str(BODY_LIMIT + 1)}
    )
    assert announced.status_code == 413
    assert announced.headers["connection"] == "close"


def test_only_so_many_calls_of_one_address_are_open(service):
    app = service.client.app
    service.call("GET", "/jobs")  # builds the layers
    edges = app.middleware_stack
    while not hasattr(edges, "open"):
        edges = edges.app
    edges.open._most = 0
    busy = service.call("GET", "/jobs")
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    assert service.client.request("GET", f"{service.url}/healthz").status_code == 200, (
        "who asks for life is told"
    )


def test_calls_are_in_the_trail_without_what_is_secret(service):
    service.call("GET", "/validate-token", params={"token": "0" * 36})
    service.refused(403, "POST", "/migrate", role="viewer")
    service.client.service.auditor.close()
    records = [r.facts for r in ledger_of(service).audit_records(20) if r.kind == "http"]
    told = [(f["method"], f["path"].rpartition("/")[2], f["status"], f["key"]) for f in records]
    assert ("GET", "validate-token", 200, "admin") in told
    assert ("POST", "migrate", 403, "viewer") in told
    assert "0" * 36 not in str(records)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LOCALHOST.:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:80", True),
        ("[fe80::1%eth0]", True),
        ("deploy.example.com", True),
        ("deploy.example.com.:443", True),
        ("evil.example.com", False),
        ("localhost.evil.example.com", False),
        ("127.0.0.1.evil.example.com", False),
        ("2130706433", False),  # 127.0.0.1 as one number: a name to us
        ("", False),
        ("[::1", False),
    ],
)
def test_names_that_are_ours(host, ours):
    assert Hosts(["Deploy.example.com"]).serve(host) is ours


def test_a_call_under_another_name_is_not_served(service):
    answer = service.call("GET", "/jobs", headers={"Host": "evil.example.com"})
    assert answer.status_code == 421
    assert "--host-name NAME" in answer.json()["message"]
