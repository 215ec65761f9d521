"""What an approval of a restore, a removal or a repair binds: each thing that is other by then is refused by its name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from alembic_project import AlembicProject, Done
from approval_support import NOW
from kill_support import BLOCK, R2, R2_BACK, Shop, new_shop, only_for_real
from signing_support import Approver

from ci_migrate.approval.payload import Facts, payload_diff
from ci_migrate.approval.plan_diff import plan_diff
from ci_migrate.approval.request import approval_request, payload_of
from ci_migrate.model import Identity, Removal, Restoration, RunRepair

SETTINGS = 'backup-dir = "./backups"\n[targets.shop]\nurl = "sqlite:///app.db"\n'
BOOM = only_for_real('raise ValueError("boom")')

Approve = Callable[..., dict[str, str]]


def ok(done: Done) -> Done:
    assert done.code == 0, done.text
    return done


def refused(done: Done, *words: str) -> None:
    text = " ".join(done.text.split())
    assert done.code == 4, text
    for word in words:
        assert word in text, (word, text)


def ids(project: AlembicProject) -> list[str]:
    return sorted(p.name for p in (project.folder / "backups").glob("backup_*"))


def protected(project: AlembicProject, kind: str, folder: Path) -> Approve:
    """Protect it; how it is approved then: by a confirmation token, or by a signature under a request."""
    ana = Approver("ana", folder)
    ok(project.call("protect", *(["--approver", ana.line] if kind == "signed" else [])))

    def approve(*flags: str) -> dict[str, str]:
        if kind == "confirmed":
            done = project.call("token", "generate", "--reason", "4711", "--by", "ana", "--quiet", *flags)
        else:
            ok(project.call("token", "request", *flags))
            back = ["--back", "undo", "--back", "restore"] if "--repair" in flags else []
            done = project.call("approve", "--key", str(ana.file), "--reason", "4711", *back)
        return {"CI_MIGRATE_TOKEN": ok(done).out.strip()}

    return approve


@pytest.fixture
def shop(alembic_project: AlembicProject) -> AlembicProject:
    """Migrated twice, with three backups."""
    alembic_project.settings(SETTINGS)
    ok(alembic_project.call("migrate", "--to", "r1"))
    ok(alembic_project.call("backup", "create"))
    ok(alembic_project.call("migrate"))
    return alembic_project


def edit_manifest(project: AlembicProject, name: str) -> Callable[[], int]:
    """Let another manifest lie in a backup's place; returns what puts the first one back."""
    manifest = project.folder / "backups" / name / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"description": "', '"description": "not '))
    assert manifest.read_text() != text
    return lambda: manifest.write_text(text)


def test_F24_a_removal_is_of_these_backups_as_and_where_they_are(shop, tmp_path) -> None:
    approve = protected(shop, "signed", tmp_path)
    first, second, third = ids(shop)
    approved = approve("--delete-backup", first)
    delete = ("backup", "delete", first, "--yes")
    refused(shop.call("backup", "delete", second, "--yes", env=approved), "destination", first, second)
    undo = edit_manifest(shop, first)  # another backup lies there by now
    refused(shop.call(*delete, env=approved), f"manifests of {first}")
    undo()
    shutil.copytree(shop.folder / "backups" / first, shop.folder / "mine" / first)
    shop.settings(SETTINGS.replace("./backups", "./mine"))  # backups of the same name elsewhere
    refused(shop.call(*delete, env=approved), "destination", "project/mine")
    shop.settings(SETTINGS)
    refused(shop.call("backup", "restore", first, "--yes", env=approved), "direction", "removal", "restore")
    assert ids(shop) == [first, second, third]
    ok(shop.call(*delete, env=approved))
    assert ids(shop) == [second, third]
    refused(shop.call("backup", "delete", second, "--yes", env=approved))


def test_F24_a_prune_is_of_exactly_the_list_that_was_approved(shop, tmp_path) -> None:
    approve = protected(shop, "confirmed", tmp_path)
    before = ids(shop)
    doomed = [b for b in before if b in ok(shop.call("backup", "prune", "--keep", "1")).out]
    assert len(doomed) > 1
    fewer = approve("--delete-backup", doomed[0])
    refused(shop.call("backup", "prune", "--keep", "1", "--yes", env=fewer), "destination", *doomed)
    assert ids(shop) == before
    exact = approve(*(flag for b in doomed for flag in ("--delete-backup", b)))
    ok(shop.call("backup", "prune", "--keep", "1", "--yes", env=exact))
    assert set(before) - set(ids(shop)) == set(doomed)


def test_F24_what_restores_kept_since_the_approval_is_not_dropped_with_it(shop, tmp_path) -> None:
    shop.write("app.db.before_20261122_101500", "what a restore kept")
    approve = protected(shop, "signed", tmp_path)
    approved = approve("--drop-old")
    shop.write("app.db.before_20261123_101500", "what another one kept")
    drop = ("backup", "restore", "--drop-old", "--yes")
    refused(shop.call(*drop, env=approved), "destination", "app.db.before_20261123_101500")
    assert len(list(shop.folder.glob("app.db.before_*"))) == 2
    (shop.folder / "app.db.before_20261123_101500").unlink()
    ok(shop.call(*drop, env=approved))
    assert not list(shop.folder.glob("app.db.before_*"))


def test_F24_a_restore_of_some_rows_is_no_restore_of_all_and_the_other_way_round(shop, tmp_path) -> None:
    ok(shop.call("backup", "create"))
    approve = protected(shop, "confirmed", tmp_path)
    name = ids(shop)[-1]
    shop.sql("insert into users (name) values ('Ana')")
    before = shop.dump()
    restore = ("backup", "restore", name, "--yes", "--no-safety-backup")
    rows, whole = approve("--restore", name, "--table", "users"), approve("--restore", name)
    refused(shop.call(*restore, env=rows), "destination", f"rows of users from {name}")
    refused(shop.call(*restore, "--table", "users", env=whole), "destination", f"rows of users from {name}")
    assert shop.dump() == before
    ok(shop.call(*restore, "--table", "users", env=rows))
    assert shop.dump() != before


def half_done(folder: Path, settings: str = "") -> Shop:
    """On SQLite: r1 is committed, of r2 a block that commits by itself; then it failed."""
    shop = new_shop(folder, mode="autocommit", settings=f"auto-rollback = false\n{settings}")
    shop.revision("r2", "r1", R2 + BLOCK + BOOM, R2_BACK)
    return shop


def test_F22_an_approval_of_a_repair_names_run_way_backup_and_its_manifest(tmp_path) -> None:
    shop = half_done(tmp_path, 'restore = "auto"\n')
    before = shop.everything_in_it()
    stopped = shop.call("run")
    assert stopped.code == 7
    run_id, backup = stopped.report["runId"], ids(shop)[-1]
    approve, left = protected(shop, "signed", tmp_path), shop.everything_in_it()
    wrong = shop.call("token", "request", "--repair", "run_x")
    assert wrong.code == 2
    assert f"it is {run_id}" in wrong.text
    back, forward = approve("--repair", run_id), approve("--repair", run_id, "--forward")
    refused(shop.call("repair", "--forward", env=back), "destination", f"{run_id} back", f"{run_id} forward")
    refused(shop.call("repair", env=forward), "destination", f"{run_id} back", f"{run_id} forward")
    # the settings do not allow a restore any more: another repair fits, or none, than was approved
    text = (shop.folder / "ci-migrate.toml").read_text()
    shop.settings(text.replace('restore = "auto"', 'restore = "never"'))
    done = shop.call("repair", env=back)
    assert done.code != 0, done.text
    assert shop.everything_in_it() == left
    shop.settings(text)
    request = json.loads((shop.folder / ".ci-migrate" / "reports" / "approval-request.json").read_text())
    assert any("as rehearsed" in words for words in request["plan"]["does"]), request["plan"]
    ok(shop.call("repair", env=back))
    assert shop.everything_in_it() == before
    assert backup in shop.call("audit", "show").out


def test_F22_a_repair_that_would_run_other_statements_by_now_is_refused(tmp_path) -> None:
    shop = new_shop(tmp_path, mode="autocommit", settings="auto-rollback = false\n")
    added = "op.create_table('extra', sa.Column('id', sa.Integer))\n"
    shop.revision("r1", "r0", f"with op.get_context().autocommit_block():\n    {added}" + BOOM)
    before = shop.everything_in_it()
    stopped = shop.call("run", "--to", "r1")
    assert stopped.code == 7
    run_id = stopped.report["runId"]
    approve = protected(shop, "confirmed", tmp_path)
    back = approve("--repair", run_id)
    shown = ok(shop.call("token", "list")).out + ok(shop.call("repair", "--dry-run")).out
    assert "drop what was added" in shown.lower()
    shop.sql("create index ix_extra on extra (id)")  # somebody went on by hand
    left = shop.everything_in_it()
    done = shop.call("repair", env=back)
    assert done.code != 0, done.text
    assert shop.everything_in_it() == left
    shop.sql("drop index ix_extra")
    ok(shop.call("repair", env=back))
    assert shop.everything_in_it() == before


# --------------------------------------------------------------------------- each field, for both kinds of tokens

OF = {"target": "shop", "identity": Identity(dialect="sqlite", place="app.db", facts={"device": "1"})}
REMOVAL = Removal(
    **OF, what="backups", names=("b_1", "b_2"), place="/backups", manifests=("a" * 64, "b" * 64)
)
KEPT = Removal(**OF, what="replaced databases", names=("app.before_1",))
REPAIR = RunRepair(
    **OF, run_id="run_1", forward=False, plan_digest="a" * 64, does=("undo from commit point 1: drop x",)
)
RESTORATION = Restoration(**OF, backup_id="b_1", manifest_sha256="a" * 64, place="/backups", heads=("r1",))


@pytest.mark.parametrize(
    ("approved", "other", "signed", "confirmed"),
    [
        (REMOVAL, {"names": ("b_1", "b_3")}, "destination", "destination"),
        (REMOVAL, {"names": ("b_1",), "manifests": ("a" * 64,)}, "destination", "destination"),
        (REMOVAL, {"place": "/mine"}, "in /mine", "in /mine"),
        (REMOVAL, {"manifests": ("a" * 64, "c" * 64)}, "manifests of b_1, b_2", "manifest of b_2 was bbbbbbbbbbbb"),
        (REMOVAL, {"manifests": ("a" * 64, "")}, "manifests of b_1, b_2", "manifest of b_2 was bbbbbbbbbbbb, is none"),
        (REMOVAL, {"what": "replaced databases"}, "destination", "destination"),
        (REMOVAL, {"target": "other"}, "target", "target was shop, is other"),
        (KEPT, {"names": ("app.before_1", "app.before_2")}, "app.before_2", "app.before_2"),
        (REPAIR, {"run_id": "run_2"}, "run_2 back", "run_2 back"),
        (REPAIR, {"forward": True}, "run_1 forward", "run_1 forward"),
        (REPAIR, {"plan_digest": "b" * 64}, "plan: approved was", "what the run was to do"),
        (REPAIR, {"does": ("undo from commit point 1: drop y",)}, "drop y", "not approved: undo from commit point 1: drop y"),
        (REPAIR, {"does": ()}, "no repair fits", "no more: undo from commit point 1: drop x"),
        (RESTORATION, {"tables": ("users",)}, "rows of users from b_1", "rows of users from b_1"),
        (RESTORATION, {"backup_id": "b_2"}, "b_2 in /backups", "b_2 in /backups"),
        (RESTORATION, {"place": "/mine"}, "b_1 in /mine", "b_1 in /mine"),
        (RESTORATION, {"manifest_sha256": "b" * 64}, "manifest: approved was aaaaaaaaaaaa", "manifest was aaaaaaaaaaaa"),
        (RESTORATION, {"heads": ("r2",)}, "heads before", "from-heads was r1, is r2"),
    ],
)  # fmt: skip
def test_each_mismatch_is_named(approved, other, signed, confirmed) -> None:
    now = msgspec.structs.replace(approved, **other)
    assert now.digest != approved.digest
    request = approval_request(approved, None, (), "shop", "again", target_uuid="u-1", requester="bob")
    payload = payload_of(request, reason="why", stages=request.stages, minutes=30, moment=NOW)
    assert payload_diff(payload, Facts(plan=approved, target_uuid="u-1")) == []
    assert signed in "; ".join(payload_diff(payload, Facts(plan=now, target_uuid="u-1")))
    assert plan_diff(approved, approved) == []
    assert confirmed in "; ".join(plan_diff(approved, now))


def test_of_long_values_the_part_is_shown_that_differs() -> None:
    long = [Removal(**OF, what="backups", names=(f"b_{'x' * 500}_{n}_{'y' * 500}",)) for n in (1, 2)]
    request = approval_request(long[0], None, (), "shop", "again", target_uuid="u-1", requester="bob")
    payload = payload_of(request, reason="why", stages=request.stages, minutes=30, moment=NOW)
    told = next(
        w for w in payload_diff(payload, Facts(plan=long[1], target_uuid="u-1")) if "destination" in w
    )
    assert "x_1_y" in told
    assert "x_2_y" in told
    assert len(told) < 500
