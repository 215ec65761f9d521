"""From exit 4 to green with approvers who sign, as a runner and an approver type it; on each engine once."""

import pytest
from alembic_project import new_project
from signing_support import Approver

GITHUB = {
    "GITHUB_ACTOR": "dev",
    "GITHUB_TRIGGERING_ACTOR": "dev",
    "GITHUB_SHA": "c" * 40,
    "GITHUB_ACTIONS": "true",
}
GITLAB = {"GITLAB_USER_LOGIN": "dev", "CI_COMMIT_SHA": "d" * 40, "GITLAB_CI": "true"}


@pytest.fixture
def ana(tmp_path_factory) -> Approver:
    return Approver("ana", tmp_path_factory.mktemp("keys"))


def target(url: str) -> str:
    # the runs of a test are jobs that keep their folder
    return f'[targets.shop]\nurl = "{url}"\nscratch = "server"\nallow-ephemeral-backups = true\n'


def ok(done):
    assert done.code == 0, done.text
    return done


@pytest.mark.parametrize(
    ("engine", "runner"),
    [("sqlite", {}), ("postgresql", GITHUB), ("mariadb", GITLAB)],
    ids=["laptop", "github", "gitlab"],
)
def test_from_exit_4_to_green(request, tmp_path, ana, engine, runner):
    fixtures = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}
    url = str(request.getfixturevalue(fixtures[engine])) if engine in fixtures else "sqlite:///app.db"
    if engine != "sqlite":
        url = request.getfixturevalue(fixtures[engine])
        url = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    (tmp_path / "shop").mkdir()
    shop = new_project(tmp_path / "shop")
    if engine != "sqlite":
        shop.environ["DATABASE_URL"] = url
    shop.settings(target("env:DATABASE_URL" if engine != "sqlite" else url))
    ok(shop.call("protect", "--approver", ana.line, "--forbid-self-approval", "--by", "admin"))
    # the runner: no token
    done = shop.call("run", env=runner)
    assert done.code == 4, done.text
    assert "ci-migrate approve --key KEY --reason 'why'" in " ".join(done.text.split())
    # the approver's laptop: the request and a key, no database
    approved = shop.call(
        "approve", "--key", str(ana.file), "--reason", "seen by two", env={"DATABASE_URL": ""}
    )
    token = ok(approved).out.strip()
    assert "Valid until" in ok(shop.call("token", "validate", env={**runner, "CI_MIGRATE_TOKEN": token})).out
    # the runner again, with what was pasted
    ok(shop.call("run", env={**runner, "CI_MIGRATE_TOKEN": token}))
    listed = ok(shop.call("token", "list")).out
    assert "used" in listed
    assert "seen by two" in listed
    assert "used already" in shop.call("token", "validate", env={**runner, "CI_MIGRATE_TOKEN": token}).text
    if engine == "sqlite":
        _protection_is_changed_by_a_signature(shop, ana)


def _protection_is_changed_by_a_signature(shop, ana: Approver) -> None:
    ok(shop.call("protect", "--freeze", "incident 42"))
    done = shop.call("protect", "--unfreeze")
    assert done.code == 4
    assert "ci-migrate token request --target shop --protection unfreeze" in done.text
    ok(shop.call("token", "request", "--protection", "unfreeze"))
    approved = shop.call("approve", "--key", str(ana.file), "--reason", "it is over")
    assert "unfreeze" in approved.err
    token = ok(approved).out.strip()
    assert shop.call("unprotect", env={"CI_MIGRATE_TOKEN": token}).code == 4
    ok(shop.call("protect", "--unfreeze", env={"CI_MIGRATE_TOKEN": token}))
    assert shop.call("protect", "--unfreeze", env={"CI_MIGRATE_TOKEN": token}).out.startswith(
        "shop is not frozen"
    )
    revoked = ok(shop.call("approve", "--key", str(ana.file), "--reason", "again")).out.strip()
    ok(shop.call("protect", "--freeze", "incident 43"))
    ok(shop.call("token", "revoke", revoked))
    assert "was revoked" in shop.call("protect", "--unfreeze", env={"CI_MIGRATE_TOKEN": revoked}).text


def test_an_approval_to_go_forward_names_the_ways_back(alembic_project, ana):
    """A migration that fails half-way is led back by those ways alone."""
    shop = alembic_project
    shop.settings('on-failure = "back"\n' + target("sqlite:///app.db"))
    shop.revision("r3", "r2", "import os\nassert os.environ['CI_MIGRATE_STAGE'] == 'dry-run'")
    ok(shop.call("protect", "--approver", ana.line))
    assert shop.call("run").code == 4
    token = ok(shop.call("approve", "--key", str(ana.file), "--reason", "r", "--back", "none")).out.strip()
    done = shop.call("run", env={"CI_MIGRATE_TOKEN": token})
    assert done.code == 7, done.text
    assert shop.heads == ["r2"], "the good prefix stays: nobody allowed to go back"
