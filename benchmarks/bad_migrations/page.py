"""docs/evidence/bad-migrations.md: what each tool said of each case."""

import platform
import re
from collections.abc import Iterable, Sequence

import msgspec

from benchmarks.bad_migrations.play import Played

PAGE = """\
# Bad revisions

{bad} revisions that bit somebody, each with the report that shows it, and {harmless} harmless ones that look alike,
on SQLite, PostgreSQL and MariaDB. Each is the pending revision of a small Alembic project on a database with rows,
and goes through `ci-migrate run`.

- **Bad ones** must be refused before the target is touched: its tables, columns, constraints, indexes and rows are
  compared afterwards.
- **Harmless ones** must be migrated.

MariaDB's cases run once more on MySQL; the other tools are not asked again there, because the files are the same.

In the same run other tools look at the same files, with their defaults: squawk at the SQL that `alembic upgrade
--sql` prints (only PostgreSQL, and without its rules on style, `prefer-*` and `require-*`), the linters at the
pending revision (zdm at its upgrade), pytest-alembic at the history on an empty database. Any finding counts, of
any severity, whether it is about the fault or not: as caught with a bad one, as a false alarm with a harmless one.
A tool that reads code alone cannot know that a table is empty or a column unique.

"fails" means that the tool ended with an error instead of a finding, "-" that it cannot look at such a case. "Plain
Alembic" is what `alembic upgrade head` does without any gate; if it goes through there, users find the fault.

If a team would have a budget or a habit, the case has it in its settings: `lock-budget`, `require-downgrade`,
`rehearse-twice`, `previous-release`, `deployed`, `assertions`, `checks`. Without them those cases would pass, some of
them with a warning. The cases are `benchmarks/bad_migrations/bad/*.py` and `harmless/*.py`.

Written by `python -m benchmarks.bad_migrations` ({machine}).

## All

| tool | bad ones caught | harmless ones flagged |
| --- | ---: | ---: |
{summary}

{missed}
## Bad ones

| case | engine | what | bit | ci-migrate | plain Alembic | {tools} |
| --- | --- | --- | --- | --- | --- | {dashes} |
{bad_rows}

## Harmless ones

| case | engine | what | ci-migrate | {tools} |
| --- | --- | --- | --- | {dashes} |
{harmless_rows}

## On MySQL

| case | what | ci-migrate | plain Alembic |
| --- | --- | --- | --- |
{mysql_rows}
"""


class Row(msgspec.Struct, frozen=True):
    """What the page says of a case."""

    name: str
    engine: str
    title: str
    source: str
    bad: bool
    refused: bool
    as_expected: bool
    by: str
    plain: str
    others: dict[str, str]

    @classmethod
    def of(cls, played: Played) -> "Row":
        case = played.case
        return cls(case.name, case.engine, case.title, case.source, case.bad, played.refused, played.as_expected,
                   played.by, played.plain, played.others)  # fmt: skip


def written(found: Sequence[Row], tools: Iterable[str]) -> str:
    """The whole page."""
    tools = list(tools)
    missed = [f"{row.name} ({row.engine})" for row in found if row.bad and not row.refused]
    refused = [f"{row.name} ({row.engine})" for row in found if not row.bad and not row.as_expected]
    bad = [row for row in found if row.bad and row.engine != "mysql"]
    harmless = [row for row in found if not row.bad and row.engine != "mysql"]
    mysql = [row for row in found if row.engine == "mysql"]
    lines = [f"Missed by ci-migrate: {', '.join(missed)}.\n"] if missed else []
    lines += [f"Harmless, and refused by ci-migrate: {', '.join(refused)}.\n"] if refused else []
    return PAGE.format(
        bad=len(bad),
        harmless=len(harmless),
        machine=f"Python {platform.python_version()}, {platform.system()}",
        summary="\n".join(_summary(bad, harmless, mysql, tools)),
        missed="\n".join(lines),
        tools=" | ".join(tools),
        dashes=" | ".join("---" for _ in tools),
        bad_rows="\n".join(_bad_row(row, tools) for row in bad),
        harmless_rows="\n".join(_harmless_row(row, tools) for row in harmless),
        mysql_rows="\n".join(map(_mysql_row, mysql)),
    )


def _summary(bad: list[Row], harmless: list[Row], mysql: list[Row], tools: list[str]) -> Iterable[str]:
    there = [row for row in mysql if row.bad], [row for row in mysql if not row.bad]
    for name, caught, flagged in (("ci-migrate", bad, harmless), ("ci-migrate, on MySQL", *there)):
        yield (
            f"| {name} | {sum(row.refused for row in caught)} of {len(caught)}"
            f" | {sum(not row.as_expected for row in flagged)} of {len(flagged)} |"
        )
    fails = sum(row.plain == "fails" for row in bad)
    yield f"| plain `alembic upgrade head`, on the target | {fails} of {len(bad)} fail there | |"
    for tool in tools:
        cells = []
        for kind in (bad, harmless):
            said = [row.others[tool] for row in kind if row.others.get(tool, "-") != "-"]
            cells.append(f"{sum(bool(words) for words in said)} of {len(said)}")
        yield f"| {tool} | {cells[0]} | {cells[1]} |"


def _bad_row(row: Row, tools: list[str]) -> str:
    said = row.by if row.refused else "**missed**"
    cells = [f"`{row.name}`", row.engine, row.title, f"[report]({row.source})", said, row.plain]
    return _row([*cells, *(row.others.get(tool, "") for tool in tools)])


def _harmless_row(row: Row, tools: list[str]) -> str:
    cells = [f"`{row.name}`", row.engine, row.title, "migrated" if row.as_expected else f"**{row.by}**"]
    return _row([*cells, *(row.others.get(tool, "") for tool in tools)])


def _mysql_row(row: Row) -> str:
    if row.bad:
        return _row([f"`{row.name}`", row.title, row.by if row.refused else "**missed**", row.plain])
    return _row([f"`{row.name}`", row.title, "migrated" if row.as_expected else f"**{row.by}**", ""])


def _row(cells: list[str]) -> str:
    texts = (re.sub(r"\S*/case-\w+/", "", " ".join(cell.split())).replace("|", "/")[:170] for cell in cells)
    return f"| {' | '.join(texts)} |"
