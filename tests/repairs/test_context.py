"""What a repair looks at is found once: not again for the repair that was permitted."""

from ci_migrate.repairs.context import RepairContext


def test_rows_are_compared_once_for_one_repair(alembic_project, monkeypatch):
    alembic_project.settings('[targets.dev]\nurl = "sqlite:///app.db"\ndry-run = "off"\n')
    assert alembic_project.gate("run", "r1").exit_code == 0
    alembic_project.revision(
        "r2", "r1", "insert into users (name) values ('a'); insert into nothing values (1)"
    )
    failed = alembic_project.gate("run")
    assert failed.exit_code == 6, failed
    alembic_project.leave_unfinished(failed.run_id)
    compared = []
    compare = RepairContext.compare_with_before
    monkeypatch.setattr(
        RepairContext, "compare_with_before", lambda context: compared.append(1) or compare(context)
    )
    done = alembic_project.call("repair")
    assert done.code == 0, done.text
    assert "as it was before" in done.text
    assert len(compared) == 1
