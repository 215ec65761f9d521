"""The first ALTER is committed when the second statement fails: the next try dies on it."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/rommapp/romm/pull/4479",
    schema="CREATE TABLE roms (id integer PRIMARY KEY, full_path varchar(200) NOT NULL);",
    rows="INSERT INTO roms VALUES (1, 'a'), (2, 'a'), (3, 'b');",
    upgrade="""
        op.add_column("roms", sa.Column("full_path_hash", sa.String(64)))
        op.execute("UPDATE roms SET full_path_hash = sha2(full_path, 256)")
        op.create_index("ix_hash", "roms", ["full_path_hash"], unique=True)
    """,
    downgrade="""
        op.drop_index("ix_hash", "roms")
        op.drop_column("roms", "full_path_hash")
    """,
    expected="Duplicate entry",
)
