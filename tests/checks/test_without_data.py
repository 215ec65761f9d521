"""What a pull request is told without a database."""

import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from ci_migrate.checks.without_data import MANY_ROWS, told_without_data
from ci_migrate.migrations.script import asked_of
from ci_migrate.migrations.worker.tokens import POSTGRESQL
from ci_migrate.model import Backup, ColumnContent, Finding, Revision, RowCount, Severity, TableContent

AUTHOR = ("-c", "user.name=ana", "-c", "user.email=ana@example.com")


@pytest.fixture
def branch(filled):
    """A branch: the target's last backup is there, the target is not."""
    assert filled.call("backup", "create").code == 0
    filled.database.unlink()
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *AUTHOR, *arguments], cwd=filled.folder, check=True, capture_output=True)
    return filled


def check(branch) -> tuple[int, dict[str, dict[str, Any]]]:
    """How it ended, and the findings by their codes."""
    done = branch.call("check", "--since", "HEAD")
    assert not branch.database.exists(), "a database was reached"
    return done.code, {f["code"]: f for f in done.stage("check")["findings"]}


def test_F74_a_table_that_had_rows_refuses(branch) -> None:
    branch.revision("r2", "r1", "drop table posts", "pass")
    code, found = check(branch)
    assert code == 1
    assert (found["CM201"]["severity"], found["CM201"]["file"]) == ("error", "migrations/versions/r2.py")
    script = (branch.folder / str(found["CM201"]["file"])).read_text().splitlines()
    assert "drop table posts" in script[found["CM201"]["line"] - 1]
    assert "Table posts goes away; it had 2 rows in the last backup" in found["CM201"]["message"]
    branch.revision(
        "r2", "r1", "drop table posts", "pass", extra='ci_migrate = {"allow": {"CM201": "moved"}}'
    )
    code, found = check(branch)
    assert (code, found["CM201"]["acknowledged"]) == (0, "moved")


def test_F74_values_are_counted_not_rows(branch) -> None:
    branch.revision("r2", "r1", "alter table users drop column name", "pass")
    code, found = check(branch)
    assert code == 1
    assert "Column name of users goes away; it had 2 values" in found["CM202"]["message"]


def test_F74_what_was_empty_is_no_loss(branch) -> None:
    branch.revision(
        "r2", "r1", "alter table empty drop column word; drop table empty; delete from empty", "pass"
    )
    code, found = check(branch)
    assert code == 0
    assert {f["severity"] for code, f in found.items() if code != "CM401"} == {"info"}
    assert "it was empty in the last backup" in found["CM201"]["message"]


def test_F74_rows_that_are_deleted(branch) -> None:
    branch.revision("r2", "r1", "delete from posts where id = 1", "pass")
    code, found = check(branch)
    assert (code, found["CM601"]["severity"]) == (0, "warning")
    assert "deleted from posts of 2 rows in the last backup" in found["CM601"]["message"]
    branch.revision("r2", "r1", "delete from posts", "pass")
    code, found = check(branch)
    assert (code, found["CM601"]["severity"]) == (1, "error")


def test_F74_without_a_backup_it_is_a_warning(branch) -> None:
    subprocess.run(["rm", "-rf", branch.folder / ".ci-migrate" / "backups"], check=True)
    branch.revision("r2", "r1", "drop table posts; alter table users drop column name", "pass")
    code, found = check(branch)
    assert code == 0
    assert {found["CM201"]["severity"], found["CM202"]["severity"]} == {"warning"}
    assert "only a dry run on the data tells" in found["CM201"]["message"]


def test_F74_reports_have_the_code_to_paste(branch) -> None:
    branch.revision("r2", "r1", "drop table posts", "pass")
    done = branch.call("check", "--since", "HEAD", env={"GITHUB_ACTIONS": "true"})
    meant = 'ci_migrate = {"allow": {"CM201": "why nobody needs it"}}'
    assert meant in done.out
    assert f"%0A{meant}" in done.out, "the annotation"
    for name in ("report.html", "junit.xml", "summary.md"):
        text = (branch.reports / name).read_text()
        assert "why nobody needs it" in text, name


# --------------------------------------------------------------------------- rule by rule, on PostgreSQL

HEAD = "from alembic import op\nimport sqlalchemy as sa\n\ndef upgrade():\n"


def told(*lines: str, rows: int | None = None, dialect: str = "postgresql", values: int = 7) -> list[Finding]:
    revision = Revision(id="r2", file="r2.py", sha256="", message="")
    backup = None
    if rows is not None:
        content = TableContent(rows=rows, columns={"x": ColumnContent(values=values, digest="")})
        backup = Backup(
            backup_id="b",
            backup_path="",
            backup_time=datetime(2026, 11, 1, tzinfo=UTC),
            dialect=dialect,
            row_counts={"public.a": RowCount(rows=rows, exact=True)},
            contents={"public.a": content} if values >= 0 else {},
        )
    asked = asked_of(HEAD + "".join(f"    {line}\n" for line in lines), POSTGRESQL)
    return list(told_without_data([(revision, asked)], dialect, backup))


LOCKS = {
    "index": ('op.create_index("i", "a", ["x"])', "CM301", "postgresql_concurrently=True"),
    "unique": ('op.create_unique_constraint("u", "a", ["x"])', "CM301", "UNIQUE USING INDEX u"),
    "foreign-key": ('op.create_foreign_key("f", "a", "b", ["x"], ["id"])', "CM301", "VALIDATE CONSTRAINT f"),
    "check": ('op.create_check_constraint("c", "a", "x > 0")', "CM301", "postgresql_not_valid=True"),
    "not-null": ('op.alter_column("a", "x", nullable=False)', "CM301", "CHECK (x IS NOT NULL) NOT VALID"),
    "type": ('op.alter_column("a", "x", type_=sa.Text())', "CM302", ""),
}


@pytest.mark.parametrize("rule", LOCKS)
def test_F74_locks_by_how_many_rows_there_were(rule: str) -> None:
    operation, code, example = LOCKS[rule]
    (unknown,) = told(operation)
    assert (unknown.code, unknown.severity) == (code, Severity.INFO)
    (many,) = told(operation, rows=MANY_ROWS)
    assert many.severity is Severity.WARNING
    assert "It had 100,000 rows in the last backup (2026-11-01)." in many.message
    assert example in many.example
    assert told(operation, rows=MANY_ROWS - 1) == []
    assert told(operation, dialect="sqlite") == []
    assert told(operation, dialect="") == []


@pytest.mark.parametrize("rule", LOCKS)
def test_F74_a_table_of_this_branch_holds_nobody_up(rule: str) -> None:
    assert told('op.create_table("a", sa.Column("x", sa.Integer))', LOCKS[rule][0]) == []


def test_F74_mysql_has_other_locks() -> None:
    assert [f.code for f in told(LOCKS["type"][0], dialect="mysql")] == ["CM302"]
    assert [f.code for f in told(LOCKS["foreign-key"][0], dialect="mariadb")] == ["CM301"]
    assert told(LOCKS["index"][0], dialect="mysql") == [], "InnoDB builds it beside the writers"


def test_F74_a_table_that_is_made_again_is_not_dropped() -> None:
    rebuilt = (
        'op.create_table("new")',
        'op.execute("insert into new select * from a")',
        'op.drop_table("a")',
    )
    assert [f.code for f in told(*rebuilt, rows=5)] == ["CM201"]
    assert told(*rebuilt, 'op.rename_table("new", "a")', rows=5) == []


def test_F74_a_table_that_is_made_again_under_its_own_name_is_not_dropped() -> None:
    away = 'op.rename_table("a", "old")'
    filled = ('op.create_table("a")', 'op.execute("insert into a select * from old")')
    assert told(away, *filled, 'op.drop_table("old")', rows=5) == []


@pytest.mark.parametrize(
    "rename",
    [
        'op.rename_table("a", "b")',
        'op.execute("alter table a rename to b")',
        'op.execute("alter table a rename to c; alter table c rename to b")',
    ],
)
def test_a_table_that_is_renamed_first_is_dropped_all_the_same(rename: str) -> None:
    (found,) = told(rename, 'op.drop_table("b")', rows=5)
    assert (found.code, found.severity) == ("CM201", Severity.ERROR)
    assert found.message.startswith("Table a goes away; it had 5 rows")
    assert found.line == len(HEAD.splitlines()) + 2
    (found,) = told(rename, 'op.drop_column("b", "x")', rows=5)
    assert found.message.startswith("Column x of a goes away; it had 7 values")


def test_a_table_that_mysql_renames_first_is_dropped_all_the_same() -> None:
    (found,) = told(
        'op.execute("RENAME TABLE a TO b, c TO d")', 'op.drop_table("b")', rows=5, dialect="mysql"
    )
    assert found.message.startswith("Table a goes away; it had 5 rows")


def test_F74_a_column_of_which_only_the_rows_are_known() -> None:
    (found,) = told('op.drop_column("a", "x")', rows=5, values=-1)
    assert found.severity is Severity.WARNING
    assert "had 5 rows" in found.message
    assert "how many have a value is not known" in found.message


@pytest.mark.parametrize(
    "operation",
    [
        'op.create_foreign_key("f", "order", "b", ["x"], ["id"])',
        'op.create_check_constraint("Odd", "a", "x > 0")',
        'op.create_unique_constraint("u", "a", ["x"], deferrable=True)',
        'op.create_unique_constraint(constraint_name="u", table_name="a", columns=["x"])',
    ],
)
def test_F74_code_that_would_not_do_the_same_is_not_offered(operation: str) -> None:
    (found,) = told(operation, rows=MANY_ROWS)
    assert (found.code, found.fix, found.example) == ("CM301", "", "")


def test_F74_names_that_nobody_knows() -> None:
    (table,) = told("op.drop_table(name)", rows=5)
    (column,) = told('op.drop_column("a", name)', rows=5)
    assert table.severity is column.severity is Severity.WARNING
    assert table.message.startswith("A table whose name is made at run time goes away")
    assert column.message.startswith("A column of a, named at run time, goes away")


def test_F74_the_same_name_in_two_schemas_is_not_guessed() -> None:
    backup = Backup(
        backup_id="b",
        backup_path="",
        backup_time=datetime(2026, 11, 1, tzinfo=UTC),
        row_counts={"one.a": RowCount(rows=5, exact=True), "two.a": RowCount(rows=0, exact=True)},
    )
    revision = Revision(id="r2", file="r2.py", sha256="", message="")
    asked = asked_of(f'{HEAD}    op.drop_table("a")\n    op.drop_table("a", schema="one")\n', POSTGRESQL)
    first, second = told_without_data([(revision, asked)], "postgresql", backup)
    assert (first.severity, second.severity) == (Severity.WARNING, Severity.ERROR)


def test_F74_a_suggestion_stands_in_place_of_its_lines() -> None:
    (found,) = told("op.create_index(", '    "i", "a", ["x"],', ")")
    assert found.replacement is not None
    assert (found.line, found.replacement.last_line) == (5, 7)
    assert found.replacement.text == (
        "    with op.get_context().autocommit_block():\n"
        '        op.create_index("i", "a", ["x"], postgresql_concurrently=True)'
    )
    (key,) = told(LOCKS["foreign-key"][0])
    assert key.replacement is not None
    assert key.replacement.text == (
        '    op.create_foreign_key("f", "a", "b", ["x"], ["id"], postgresql_not_valid=True)'
    ), "what belongs into the next revision stays out"


@pytest.mark.parametrize(
    "lines",
    [
        ('op.create_index("i", "a", ["x"]); print()',),
        ('print(op.create_index("i", "a", ["x"]))',),
        ('op.create_index("i", "a", ["x"])  # why',),
        ('with op.batch_alter_table("a") as batch:', '    batch.create_index("i", ["x"])'),
    ],
)
def test_F74_what_shares_its_lines_is_not_replaced(lines: tuple[str, ...]) -> None:
    (found,) = told(*lines)
    assert found.example
    assert found.replacement is None
