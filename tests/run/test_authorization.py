"""Whatever writes to a guarded target, or takes a way back away, is let through by one door: F22 to F26."""

import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic_project import AlembicProject, Done
from kill_support import BLOCK, R2, R2_BACK, Shop, new_shop, only_for_real
from signing_support import Approver

UNTAGGED = '[targets.shop]\nurl = "sqlite:///app.db"\n'
TAGGED = UNTAGGED + 'tags = ["production"]\n'
BOOM = only_for_real('raise ValueError("boom")')


def ok(done: Done) -> Done:
    assert done.code == 0, done.text
    return done


def refused(done: Done, *words: str, code: int = 4) -> Done:
    assert done.code == code, done.text
    assert "Traceback" not in done.text
    text = " ".join(done.text.split())
    for word in words:
        assert word in text, (word, text)
    return done


def token(project: AlembicProject, *arguments: str) -> dict[str, str]:
    done = project.call("token", "generate", "--reason", "ticket 4711", "--quiet", "--by", "ana", *arguments)
    return {"CI_MIGRATE_TOKEN": ok(done).out.strip()}


def kinds(project: AlembicProject) -> list[str]:
    return [
        line.split('"kind":"')[1].split('"')[0] for line in project.call("audit", "show").out.splitlines()
    ]


def ids(project: AlembicProject) -> list[str]:
    return sorted(p.name for p in (project.folder / "backups").glob("backup_*"))


@pytest.fixture(params=["protected", "tagged"])
def guarded(request, alembic_project: AlembicProject) -> AlembicProject:
    """By its ledger, whatever the settings say; or by its settings alone. With a migration and three backups."""
    shop = alembic_project
    shop.settings('backup-dir = "./backups"\n' + UNTAGGED)
    ok(shop.call("run", "--to", "r1"))
    ok(shop.call("run"))
    ok(shop.call("backup", "create"))
    if request.param == "protected":
        ok(shop.call("protect"))
        shop.settings('require-confirmation = false\nbackup-dir = "./backups"\n' + UNTAGGED)
    else:
        shop.settings('backup-dir = "./backups"\n' + TAGGED)
    return shop


# --------------------------------------------------------------------------- F22: ways back


def test_F22_a_backup_is_deleted_by_an_approval_of_this_backup_alone(guarded) -> None:
    first, second, _ = before = ids(guarded)
    assert "Would delete" in ok(guarded.call("backup", "delete", first)).out
    said = refused(guarded.call("backup", "delete", first, "--yes"), f"--delete-backup {first}")
    assert "token generate" in said.text
    other = token(guarded, "--delete-backup", second)
    refused(guarded.call("backup", "delete", first, "--yes", env=other), "another plan", second)
    assert ids(guarded) == before
    ok(guarded.call("backup", "delete", second, "--yes", env=other))
    assert ids(guarded) == [b for b in before if b != second]
    refused(guarded.call("backup", "delete", first, "--yes", env=other))
    for kind in ("refused", "token used", "backup deleted"):
        assert kind in kinds(guarded)


def test_F22_a_prune_removes_the_list_that_was_approved(guarded) -> None:
    before = ids(guarded)
    shown = ok(guarded.call("backup", "prune", "--keep", "1")).out
    said = refused(guarded.call("backup", "prune", "--keep", "1", "--yes"), "--delete-backup")
    assert ids(guarded) == before
    doomed = [b for b in before if b in shown]
    assert doomed
    assert all(f"--delete-backup {b}" in " ".join(said.text.split()) for b in doomed)
    flags = [flag for b in doomed for flag in ("--delete-backup", b)]
    approved = token(guarded, *flags)
    ok(guarded.call("backup", "create", env={}))  # nothing that was approved is other for it
    ok(guarded.call("backup", "prune", "--keep", "2", "--yes", env=approved))
    assert set(before) - set(ids(guarded)) == set(doomed)


def test_F22_what_a_restore_kept_is_dropped_by_an_approval_only(guarded) -> None:
    name = ids(guarded)[-1]
    restoring = token(guarded, "--restore", name)
    ok(guarded.call("backup", "restore", name, "--yes", "--no-safety-backup", env=restoring))
    (kept,) = guarded.folder.glob("app.db.before_*")
    refused(guarded.call("backup", "restore", "--drop-old", "--yes"), "--drop-old")
    assert kept.exists()
    ok(guarded.call("backup", "restore", "--drop-old", "--yes", env=token(guarded, "--drop-old")))
    assert not kept.exists()


def test_F22_on_a_frozen_target_no_token_helps(guarded) -> None:
    name = ids(guarded)[0]
    deleting = token(guarded, "--delete-backup", name)
    ok(guarded.call("protect", "--freeze", "incident 42"))
    guarded.write("app.db.before_20261122_101500", "what a restore kept")
    before = ids(guarded)
    for command in (
        ("backup", "delete", name, "--yes"),
        ("backup", "prune", "--keep", "1", "--yes"),
        ("backup", "restore", name, "--yes"),
        ("backup", "restore", "--drop-old", "--yes"),
        ("rollback", "--to", "r1", "--by", "restore", "--yes"),
        ("rollback", "--to", "r1"),
        ("stamp", "r1", "--reason", "why"),
        ("run", "--to", "r1"),
    ):
        refused(guarded.call(*command, env=deleting), "is frozen: incident 42", "--unfreeze")
    assert ids(guarded) == before


def test_F22_by_way_of_another_target_or_ledger(guarded) -> None:
    """The repository's author names what they like: the backups stay those of this database."""
    name = ids(guarded)[0]
    settings = (guarded.folder / "ci-migrate.toml").read_text()
    other = settings + '\n[targets.other]\nurl = "sqlite:///other.db"\n'
    guarded.settings(other)
    sqlite3.connect(guarded.folder / "other.db").close()
    refused(guarded.call("backup", "delete", name, "--yes", "--target", "other"), "another database", code=1)
    guarded.settings(other.replace("targets.other]", "targets.shop2]").replace("other.db", "app.db"))
    if "tags" not in settings:  # what only the settings guard, only they can guard
        refused(guarded.call("backup", "delete", name, "--yes", "--target", "shop2"))
        refused(guarded.call("backup", "prune", "--keep", "1", "--yes", "--target", "shop2"))
        guarded.settings(settings + 'state = "sqlite:///mine.ledger"\n')
        for command in (("delete", name), ("prune", "--keep", "1"), ("restore", "--drop-old")):
            refused(guarded.call("backup", *command, "--yes"), "is protected", "state", code=1)
    assert name in ids(guarded)


def test_a_target_that_nothing_guards_asks_for_nothing(alembic_project) -> None:
    shop = alembic_project
    shop.settings('backup-dir = "./backups"\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    ok(shop.call("run"))
    ok(shop.call("backup", "create"))
    first, second = ids(shop)
    ok(shop.call("backup", "delete", first, "--yes"))
    assert ids(shop) == [second]


# --------------------------------------------------------------------------- F22: repair


def half_done(folder: Path, settings: str = "") -> Shop:
    """On SQLite: r1 is committed, of r2 a block that commits by itself; then it failed."""
    shop = new_shop(folder, mode="autocommit", settings=f"auto-rollback = false\n{settings}")
    shop.revision("r2", "r1", R2 + BLOCK + BOOM, R2_BACK)
    return shop


def test_F22_a_run_that_nobody_approved_is_repaired_by_an_approval_only(tmp_path) -> None:
    shop = half_done(tmp_path, 'restore = "auto"\n')
    before = shop.everything_in_it()
    stopped = shop.call("run")
    assert stopped.code == 7
    run_id, left = stopped.report["runId"], shop.everything_in_it()
    ok(shop.call("protect"))
    for forward in ((), ("--forward",)):
        said = refused(shop.call("repair", *forward), f"--repair {run_id}", *forward)
        assert "needs an approval" in said.text
        assert shop.everything_in_it() == left
    # an approval to go back is none to go on, and the other way round
    back, forward = token(shop, "--repair", run_id), token(shop, "--repair", run_id, "--forward")
    refused(shop.call("repair", "--forward", env=back), "made for")
    refused(shop.call("repair", env=forward), "made for")
    assert shop.everything_in_it() == left
    ok(shop.call("protect", "--freeze", "incident 42"))
    refused(shop.call("repair", env=back), "is frozen: incident 42", "--unfreeze")
    ok(shop.call("protect", "--unfreeze", env=token(shop, "--protection", "unfreeze")))
    ok(shop.call("repair", env=back))
    assert shop.everything_in_it() == before


def test_F22_an_approved_run_is_led_back_and_on_by_its_own_approval(tmp_path) -> None:
    shop = half_done(tmp_path, 'restore = "auto"\n')
    ok(shop.call("protect"))
    approved = token(shop)
    assert shop.call("run", env=approved).code == 7
    # forward with an env.py that nobody has approved
    env = shop.folder / "migrations" / "env.py"
    text, left = env.read_text(), shop.everything_in_it()
    env.write_text(text + "\nopen('ran', 'w').close()\n")
    refused(shop.call("repair", "--forward"), "env.py is not the file that was rehearsed", code=7)
    assert not (shop.folder / "ran").exists()
    assert shop.everything_in_it() == left
    env.write_text(text)
    ok(shop.call("repair", env=approved))  # the job's variable still holds the token of the run
    assert shop.everything_in_it() != left


def test_F22_a_downgrade_of_a_repair_runs_files_that_were_approved(tmp_path) -> None:
    shop = new_shop(tmp_path, mode="per-migration", settings='auto-rollback = false\non-failure = "back"\n')
    shop.revision("r2", "r1", R2 + BOOM, R2_BACK)
    ok(shop.call("protect"))
    assert shop.call("run", env=token(shop)).code == 7
    r1, left = shop.folder / "migrations" / "versions" / "r1.py", shop.everything_in_it()
    text = r1.read_text()
    r1.write_text(text.replace("def downgrade():", "def downgrade():\n    open('ran', 'w').close()"))
    refused(shop.call("repair"), "r1.py is not the file that was rehearsed", code=7)
    assert not (shop.folder / "ran").exists()
    assert shop.everything_in_it() == left
    r1.write_text(text)
    ok(shop.call("repair"))
    assert shop.heads_now() == ["r0"]


def test_what_writes_nothing_is_proved_without_an_approval(tmp_path) -> None:
    """A run that rolled back is closed by whoever looks: the target is as it was."""
    shop = new_shop(tmp_path, settings="auto-rollback = false\n")
    shop.revision("r1", "r0", BOOM)
    assert shop.call("run", "--to", "r1").code == 7
    ok(shop.call("protect"))
    ok(shop.call("repair"))


# --------------------------------------------------------------------------- F23: tags of stages

STAGES = ("check", "backup", "dry-run", "approve", "verify", "repair")


def tagged(*stages: str, more: str = "") -> str:
    return more + UNTAGGED + "".join(f'stages.{stage}.tags = ["production"]\n' for stage in stages)


def test_F23_each_stage_that_is_tagged_asks_before_it_begins_by_its_name(alembic_project) -> None:
    shop = alembic_project
    for stage in STAGES:
        shop.settings(tagged(stage))
        done = refused(shop.call("run"), f"stage {stage} is tagged production", "token generate")
        first_bad = next(r["stage"] for r in done.report["results"] if r["outcome"] == "failed")
        # from migrate to repair nothing gets in between: what is tagged there is asked for ahead of it
        assert first_bad == (stage if stage in STAGES[:3] else "approve")
        assert shop.heads == []
    assert len(ids_in_default_place(shop)) == 4, "asked for before a backup was taken, or copied"
    shop.settings(tagged(*STAGES))
    for verb in ("plan", "check", "dry-run"):
        refused(shop.call(verb), "stage check is tagged production")
    ok(shop.call("run", env=token(shop)))
    assert shop.heads == ["r2"]
    assert kinds(shop).count("token used") == 1


def ids_in_default_place(project: AlembicProject) -> list[Path]:
    return list(project.folder.rglob("backup_*_*/manifest.json"))


def test_F23_a_dry_run_alone_uses_its_token_up(alembic_project) -> None:
    shop = alembic_project
    shop.settings(tagged("dry-run", more="require-confirmation = false\n"))
    ok(shop.call("dry-run"))  # the settings ask for nothing then
    ok(shop.call("protect"))
    refused(shop.call("dry-run"), "stage dry-run is tagged production")
    for_r1 = token(shop, "--to", "r1")
    refused(shop.call("dry-run", env=for_r1), "made for another plan")
    approved = token(shop)
    ok(shop.call("dry-run", env=approved))
    refused(shop.call("dry-run", env=approved), "was used already")
    refused(shop.call("run", env=approved), "was used already")
    # what reaches no target asks for nothing
    ok(shop.call("dry-run", "--on", "empty"))


def test_F23_signed_for_the_stage_and_then_for_the_migration(alembic_project, tmp_path) -> None:
    shop, ana = alembic_project, Approver("ana", tmp_path)
    shop.settings(tagged("dry-run"))
    ok(shop.call("protect", "--approver", ana.line))

    def approve() -> dict[str, str]:
        signed = ok(shop.call("approve", "--key", str(ana.file), "--reason", "why"))
        return {"CI_MIGRATE_TOKEN": signed.out.strip()}

    refused(shop.call("run"), "stage dry-run is tagged production")
    rehearse = approve()
    refused(shop.call("run", env=rehearse), "stages: approved was dry-run, here it is migrate")
    assert shop.heads == []
    ok(shop.call("run", env=approve()))
    assert shop.heads == ["r2"]


# --------------------------------------------------------------------------- F24: what a restore restores


def test_F24_an_approved_restore_is_of_this_manifest_in_this_place(guarded) -> None:
    settings, before = (guarded.folder / "ci-migrate.toml").read_text(), guarded.dump()
    name = ids(guarded)[0]
    approved = token(guarded, "--restore", name)
    restore = ("backup", "restore", name, "--yes", "--no-safety-backup")
    # the repository points elsewhere, where a backup of that name is
    shutil.copytree(guarded.folder / "backups" / name, guarded.folder / "mine" / name)
    guarded.settings(settings.replace("./backups", "./mine"))
    refused(guarded.call(*restore, env=approved), "destination was", str(guarded.folder / "mine"))
    # another one lies in the same place
    guarded.settings(settings)
    manifest = guarded.folder / "backups" / name / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"description": "', '"description": "not '))
    refused(guarded.call(*restore, env=approved), "manifest was")
    assert guarded.dump() == before
    manifest.write_text(text)
    ok(guarded.call(*restore, env=approved))


def test_F24_who_signs_sees_the_manifest_and_the_place(alembic_project, tmp_path) -> None:
    shop, ana = alembic_project, Approver("ana", tmp_path)
    shop.settings('backup-dir = "./backups"\n' + UNTAGGED)
    ok(shop.call("run"))
    (name,) = ids(shop)
    ok(shop.call("protect", "--approver", ana.line))
    ok(shop.call("token", "request", "--restore", name))
    signed = ok(shop.call("approve", "--key", str(ana.file), "--reason", "why"))
    digest = hashlib.sha256((shop.folder / "backups" / name / "manifest.json").read_bytes()).hexdigest()
    approved = {"CI_MIGRATE_TOKEN": signed.out.strip()}
    shown = ok(shop.call("token", "show", env=approved)).out
    for text in (signed.err, shown):
        assert digest in text
        assert f"{name} in {shop.folder / 'backups'}" in text
    manifest = shop.folder / "backups" / name / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seconds": ', '"seconds": 1'))
    restore = ("backup", "restore", name, "--yes", "--no-safety-backup")
    refused(shop.call(*restore, env=approved), "manifest: approved was")
    assert shop.heads == ["r2"]
