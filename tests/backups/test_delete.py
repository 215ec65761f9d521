"""What is never deleted, and what is only told, by the command line."""

from ci_migrate.model import RunRecord, now


def test_R6_R10_the_backup_of_an_unfinished_run_stays(alembic_project):
    assert alembic_project.run("run", "--to", "r1").code == 0
    name, other = (alembic_project.run("backup", "create").out.split()[0] for _ in range(2))
    with alembic_project.ledger() as ledger:
        ledger.begin_run(
            RunRecord(run_id="killed", target="dev", command="run", started=now(), backup_id=name)
        )
        ledger.update_run("killed", phase="migrating")
    folder = alembic_project.folder / ".ci-migrate" / "backups"
    for arguments in (("delete", name), ("delete", name, "--yes")):
        done = alembic_project.run("backup", *arguments)
        assert (done.code, "unfinished run killed" in done.text) == (1, True), done.text
    assert (folder / name / "manifest.json").exists()
    done = alembic_project.run("backup", "delete", other)  # R10: without --yes nothing is deleted
    assert (done.code, "Would delete (add --yes)" in done.text) == (0, True), done.text
    assert (folder / other / "manifest.json").exists()
    done = alembic_project.run("backup", "delete", other, "--yes")
    assert (done.code, (folder / other).exists()) == (0, False), done.text
    done = alembic_project.run("backup", "prune", "--keep", "1", "--yes")
    assert (done.code, (folder / name).exists()) == (0, True), done.text
