"""One approval for many databases of a fleet: what it lets through, and what it does not.

TEST_FLEET_APPROVED says how many databases the long test has, 500 by default.
"""

import os
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from alembic_project import ended
from fleet_support import by_name, new_fleet, sql, statuses
from junitparser import JUnitXml
from signing_support import Approver

from ci_migrate.approval import signing
from ci_migrate.approval.envelope import Envelope
from ci_migrate.approval.many import MANY_TYPE
from ci_migrate.approval.many_request import many_payload_of, read_many, tokens_for
from ci_migrate.approval.merkle import list_digest
from ci_migrate.fleet.approvals import FILE_NAME

DEV = {"GITHUB_ACTOR": "dev", "GITHUB_TRIGGERING_ACTOR": "dev", "GITHUB_ACTIONS": "true"}
COUNT = int(os.environ.get("TEST_FLEET_APPROVED", "500"))
PRODUCTION = 'tags = ["production"]\nallow-ephemeral-backups = true\nfleet-processes = 2\n'
"""The runs of a test are jobs that keep their folder."""


@pytest.fixture
def ana(tmp_path) -> Approver:
    (tmp_path / "keys").mkdir()
    return Approver("ana", tmp_path / "keys")


@pytest.fixture
def fleet(tmp_path, ana):
    fleet = new_fleet(tmp_path / "project", 3)
    fleet.set(PRODUCTION)
    fleet.project.environ |= {**DEV, "CI_MIGRATE_TRUST": ana.line}
    return fleet


class Asked:
    """A fleet of which all databases wait for one approval."""

    def __init__(self, fleet, code=4, timeout=120) -> None:
        self.fleet, self.timeout = fleet, timeout
        ended(
            fleet.project.run("fleet", "run", timeout=timeout),
            code,
            "approval required",
            "ci-migrate fleet request",
        )
        self.told = ended(fleet.project.call("fleet", "request"), 0)
        self.path = fleet.project.reports / FILE_NAME
        self.request = read_many(self.path)
        self.list_digest = list_digest(self.request.entries())

    @property
    def names(self):
        return [one.target.partition("/")[2] for one in self.request.databases]

    def approve(self, ana, *arguments):
        """As an approver types it, without the databases."""
        command = ("approve", str(self.path), "--key", str(ana.file), "--reason", "seen", *arguments)
        done = self.fleet.project.call(*command, env={"CI_MIGRATE_TRUST": ""})
        self.shown = done.err
        return ended(done, 0).strip()

    def sign(self, ana, request=None, moment=None):
        """As somebody signs who does not use `ci-migrate approve`."""
        payload = many_payload_of(
            request or self.request,
            reason="seen",
            stages=("migrate",),
            minutes=30,
            moment=moment or datetime.now(UTC),
        )
        whole = Envelope(payload=payload.encode(), payload_type=MANY_TYPE)
        signature = signing.sign(ana.file, whole.signed_bytes)
        return msgspec.structs.replace(whole, signatures=(signature,)).encode()

    def run(self, token, command="run", **environ):
        self.fleet.project.write("token", token)
        return self.fleet.project.run(
            "fleet", command, "--token-file", "token", env=environ, timeout=self.timeout
        )

    def refused(self, token, words, **environ):
        """The canary is refused for these words, and nothing else begins."""
        ended(self.run(token, **environ), 1, "Stopped: the canary t00000 needs an approval", words)
        assert self.heads() == [["r1"]] * 3

    def heads(self):
        return [self.fleet.at(name) for name in self.fleet.names]


def test_one_signature_lets_the_listed_databases_through_once_each(fleet, ana):
    """What has drifted is not in the list; with approvers in each ledger, of whom none approves what they ask for."""
    for name in fleet.names:
        command = ("protect", "--target", f"tenants/{name}", "--approver", ana.line, "--forbid-self-approval")
        ended(fleet.project.run(*command, "--by", "admin"), 0)
    sql(fleet.file("t00002"), "create index by_name on users (name)")
    before = fleet.file("t00000").read_bytes()
    asked = Asked(fleet, 1)
    assert asked.names == ["t00000", "t00001"]
    assert "2 databases of the fleet tenants, asked for by dev" in asked.told
    token = asked.approve(ana)
    assert "tenants/t00001" in asked.shown
    own = {"GITHUB_ACTOR": "ana", "GITHUB_TRIGGERING_ACTOR": "ana"}
    asked.refused(token, "asks and approves: on this target that takes two people", **own)
    ended(asked.run(token), 1, "2 migrated, 1 left out")
    assert asked.heads() == [["r2"], ["r2"], ["r1"]]
    for name in asked.names:
        assert " used " in fleet.project.call("token", "list", "--target", f"tenants/{name}").out
        shown = fleet.project.call("audit", "show", "--target", f"tenants/{name}").out
        assert f'"listDigest":"{asked.list_digest}"' in shown
        ended(fleet.project.call("audit", "verify", "--target", f"tenants/{name}"), 0)
    # a database that was put back uses it no second time
    fleet.file("t00000").write_bytes(before)
    ended(asked.run(token), 1, "The token was used already")
    assert fleet.at("t00000") == ["r1"]


def test_what_does_not_fit_is_refused_and_what_fits_goes_on(fleet, ana):
    asked = Asked(fleet)
    token = asked.approve(ana)
    listed = (fleet.project.folder / "tenants.txt").read_text()
    script = fleet.project.folder / "migrations/versions/r2.py"
    plan = script.read_text()

    # the signature: of a stranger, of another list, of another time
    stranger = Approver("bo", ana.file.parent)
    asked.refused(asked.sign(stranger), "signed by a key that is no approver's")
    asked.refused(asked.sign(ana, moment=datetime.now(UTC) - timedelta(hours=1)), "The token expired")
    first, second, *others = asked.request.databases
    swapped = (
        msgspec.structs.replace(first, identity=second.identity, target_uuid=second.target_uuid),
        msgspec.structs.replace(second, identity=first.identity, target_uuid=first.target_uuid),
        *others,
    )
    altered = msgspec.structs.replace(asked.request, databases=swapped)
    assert read_many(asked.path) != altered
    kept = asked.path.read_bytes()
    asked.path.write_bytes(msgspec.json.encode(altered))
    ended(asked.run(token), 2, "none of them")
    asked.path.write_bytes(msgspec.json.encode(msgspec.structs.replace(altered, databases=(first, second))))
    ended(asked.run(token), 4, "another list of databases")
    asked.path.write_bytes(kept)

    # the database: another URL under a name of the list, one by itself, one that is not of the fleet
    names = ("data/t00000.db", "data/t00001.db", "data/other.db")
    fleet.project.write("tenants.txt", listed.replace(names[0], names[2]).replace(names[1], names[0]))
    fleet.file("other").write_bytes(fleet.file("t00001").read_bytes())
    asked.refused(token, "made for another target")
    fleet.project.write("tenants.txt", listed)
    members = tokens_for(token, asked.request)
    for target, given in (
        ("tenants/t00000", token),
        ("tenants/t00000", members["tenants/t00001"]),
    ):
        done = fleet.project.run("run", "--target", target, env={"CI_MIGRATE_TOKEN": given})
        ended(done, 4, "only a fleet run takes it" if given == token else "made for another target")

    # the plan
    script.write_text(plan.replace("sa.Text", "sa.Integer"))
    asked.refused(token, "made for something else")
    script.write_text(plan)

    # one more than was approved, one that has changed since: the others go on
    fleet.file("t00009").write_bytes(fleet.file("t00001").read_bytes())
    fleet.project.write("tenants.txt", "t00009 sqlite:///data/t00009.db\n" + listed)
    sql(fleet.file("t00001"), "create index by_name on users (name)")
    done = asked.run(token)
    ended(done, 1, "2 migrated, 1 left out, 1 approval required")
    assert statuses(fleet) == {
        "t00000": "migrated",
        "t00001": "left out",
        "t00002": "migrated",
        "t00009": "approval required",
    }
    assert by_name(fleet)["t00009"]["message"] == "the approval that was given does not list it"
    assert "ci-migrate fleet run --target tenants " in done.words, "there is no request of it to be signed"
    assert fleet.at("t00009") == ["r1"]


def test_the_rows_that_were_approved_are_those_of_each_database(fleet, ana):
    fleet.set(PRODUCTION + 'x = ["tenant={name}"]\n')
    fleet.project.revision("r2", "r1", "insert into users select id + 1000, name from users where id > 1")
    more = "with n(i) as (select 1 union all select i + 1 from n where i < {}) insert into users select null, 'x' from n"
    sql(fleet.file("t00001"), more.format(1))
    sql(fleet.file("t00002"), more.format(3))
    asked = Asked(fleet)
    rows = {one.target: one.rows for one in asked.request.databases}
    assert rows == {"tenants/t00000": {}, "tenants/t00001": {"users": 1}, "tenants/t00002": {"users": 3}}
    assert "rows of users in each of them: from +0 to +3" in asked.told
    assert "x in each of them: tenant={name}" in asked.told
    token = asked.approve(ana)
    sql(fleet.file("t00002"), more.format(50))
    ended(fleet.project.run("token", "revoke", token, "--target", "tenants/t00001"), 0, "Revoked")
    ended(asked.run(token), 4, "1 migrated, 2 approval required")
    messages = {name: row["message"] for name, row in by_name(fleet).items()}
    assert "The token was revoked" in messages["t00001"]
    assert "rows of users: approved was a change by +3" in messages["t00002"]


def test_whoever_signs_as_the_second_sees_the_list_too(fleet, ana):
    asked = Asked(fleet)
    token = fleet.project.write("token", asked.approve(ana))
    command = (
        "approve",
        str(asked.path),
        "--token-file",
        str(token),
        "--key",
        str(Approver("bo", token.parent).file),
    )
    done = fleet.project.call(*command)
    assert len(Envelope.decode(ended(done, 0).strip()).signatures) == 2
    assert "tenants/t00002" in done.err
    shorter = msgspec.structs.replace(asked.request, databases=asked.request.databases[:2])
    asked.path.write_bytes(msgspec.json.encode(shorter))
    ended(fleet.project.call(*command), 4, "another list of databases")
    asked.path.unlink()
    ended(fleet.project.call(*command), 2, "can't be read")


@pytest.mark.long
def test_of_five_hundred_three_drift_and_the_others_are_migrated_by_one_approval(tmp_path, ana):
    """Two had drifted before anybody was asked, one does while the approver reads."""
    fleet = new_fleet(tmp_path / "many", COUNT)
    fleet.set(PRODUCTION)
    fleet.project.environ |= {**DEV, "CI_MIGRATE_TRUST": ana.line}
    before, last = [fleet.names[COUNT // 3], fleet.names[COUNT // 2]], fleet.names[-1]
    for name in before:
        sql(fleet.file(name), "create index by_name on users (name)")
    asked = Asked(fleet, 1, timeout=7200)
    assert set(asked.names) == {*fleet.names} - {*before}
    assert f"{COUNT - 2} databases of the fleet tenants" in asked.told
    assert set(statuses(fleet).values()) == {"approval required", "left out"}
    assert {fleet.at(name)[0] for name in fleet.names} == {"r1"}
    token = asked.approve(ana, "--minutes", "240")
    sql(fleet.file(last), "alter table users add column nick text")
    ended(asked.run(token), 1, f"{COUNT - 3} migrated, 3 left out", f"{COUNT - 3} of {COUNT} databases")
    left = {*before, last}
    rows = by_name(fleet)
    for name in fleet.names:
        assert fleet.at(name) == (["r1"] if name in left else ["r2"]), name
        assert rows[name]["status"] == ("left out" if name in left else "migrated"), rows[name]
        if name in left:
            assert rows[name]["message"] == "drifted: its schema differs from that of the others at r1"
    suites = {one.name: one for one in JUnitXml.fromfile(str(fleet.project.reports / "fleet.xml"))}
    assert len(suites) == COUNT
    for name in fleet.names:
        assert suites[f"ci-migrate.tenants/{name}"].failures == (name in left)
    page = (fleet.project.reports / "fleet.html").read_text()
    assert all(name in page for name in left)
    for name in (fleet.names[0], fleet.names[-2]):
        assert " used " in fleet.project.call("token", "list", "--target", f"tenants/{name}").out
        shown = fleet.project.call("audit", "show", "--target", f"tenants/{name}").out
        assert f'"listDigest":"{asked.list_digest}"' in shown
    # used once: what drifted is not let through by it later
    sql(fleet.file(before[0]), "drop index by_name")
    ended(asked.run(token, "retry"), 1, "2 left out, 1 approval required")
    assert fleet.at(before[0]) == ["r1"]
