"""Lists without members become []; what can't be parsed stays for somebody to look at."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE modules (id integer PRIMARY KEY, guids json);",
    rows="""INSERT INTO modules VALUES (1, '["a", "b"]'), (2, 'null'), (3, 'c, d'), (4, ''), (5, NULL);""",
    upgrade="""
        import json

        modules = sa.table("modules", sa.column("id"), sa.column("guids", sa.JSON))
        connection = op.get_bind()
        for row_id, text in connection.execute(sa.text("SELECT id, guids FROM modules")).all():
            try:
                guids = json.loads(text) if text else None
            except ValueError:
                continue
            if not guids:
                connection.execute(modules.update().where(modules.c.id == row_id).values(guids=[]))
    """,
)
