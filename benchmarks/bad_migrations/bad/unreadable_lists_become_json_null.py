"""Lists that can't be parsed are taken for empty, and None is written: the null of JSON."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/ibuilder/massing/pull/500",
    schema="CREATE TABLE modules (id integer PRIMARY KEY, guids json);",
    rows="""INSERT INTO modules VALUES (1, '["a", "b"]'), (2, '[]'), (3, 'c, d'), (4, '["e",]'), (5, NULL);""",
    upgrade="""
        import json

        modules = sa.table("modules", sa.column("id"), sa.column("guids", sa.JSON))
        connection = op.get_bind()
        for row_id, text in connection.execute(sa.text("SELECT id, guids FROM modules")).all():
            try:
                guids = json.loads(text) if text else None
            except ValueError:
                guids = None
            if not guids:
                connection.execute(modules.update().where(modules.c.id == row_id).values(guids=None))
    """,
    expected="CM602",
)
