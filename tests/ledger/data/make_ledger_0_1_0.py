"""How `ledger_0_1_0.sql` was made: by real runs of ci-migrate 0.1.0, on a SQLite file.

Run it with the code of that version (`PYTHONPATH=CHECKOUT python make_ledger_0_1_0.py`), as somebody who may make the
folder FOLDER: the ledger knows its database by that path. It holds, in this order:

1. a run that migrated `base -> r1`,
2. a run whose revision r2 failed in the dry run,
3. protection by confirmation tokens, with a run that used one for `r1 -> r2`, and a token that nobody used,
4. a run of r3 that was killed, with its child, after it had inserted a row.

Host and user are made up.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from backports import zstd

FOLDER = Path("/srv/shop")
HERE = Path(__file__).parent
ENV = """\
from alembic import context
from sqlalchemy import create_engine

with create_engine("sqlite:////srv/shop/app.db").connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """\
from alembic import op
import os, signal
import sqlalchemy as sa
revision, down_revision = {revision!r}, {down!r}
branch_labels = depends_on = None


def upgrade():
    {body}


def downgrade():
    pass
"""
KILL = (
    "op.execute(\"INSERT INTO users (name) VALUES ('killed')\")\n"
    '    if os.environ.get("CI_MIGRATE_STAGE") == "migrate":\n'
    "        os.kill(int(os.environ['GATE_PID']), signal.SIGKILL)\n"
    "        os.kill(os.getpid(), signal.SIGKILL)"
)


def command(*arguments: str, token: str = "") -> tuple[int, str]:
    code = (
        "import getpass, os, socket, sys\n"
        "os.environ['GATE_PID'] = str(os.getpid())\n"
        "socket.gethostname = lambda: 'runner'\n"
        "getpass.getuser = lambda: 'ana'\n"
        "from ci_migrate.cli import run\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    environ = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "HOME")}
    if token:
        environ["CI_MIGRATE_TOKEN"] = token
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=FOLDER,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    print(arguments, done.returncode, done.stdout[-400:], done.stderr[-1500:])
    return done.returncode, done.stdout


def revision(name: str, down: str | None, body: str) -> None:
    text = REVISION.format(revision=name, down=down, body=body)
    (FOLDER / "migrations" / "versions" / f"{name}.py").write_text(text)


def confirm() -> str:
    code, text = command("token", "generate", "--target", "dev", "--reason", "release")
    assert code == 0
    return next(word for word in text.split() if len(word) == 36)


def hide_place(ledger: sqlite3.Connection) -> None:
    """Traces name the folder in which Python is; the chain of the audit trail does not cover them."""
    for sequence, packed in ledger.execute("SELECT sequence, result FROM ci_migrate_stages").fetchall():
        text = zstd.decompress(packed).replace(sys.prefix.encode(), b"/opt/venv")
        ledger.execute(
            "UPDATE ci_migrate_stages SET result = ? WHERE sequence = ?", (zstd.compress(text), sequence)
        )


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "migrations" / "versions").mkdir(parents=True)
    (FOLDER / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (FOLDER / "migrations" / "env.py").write_text(ENV)
    (FOLDER / "ci-migrate.toml").write_text('[targets.dev]\nurl = "sqlite:////srv/shop/app.db"\n')
    revision(
        "r1",
        None,
        'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))',
    )
    assert command("run")[0] == 0
    revision("r2", "r1", 'op.execute("ALTER TABLE nothing ADD COLUMN x")')
    assert command("run")[0] != 0
    revision("r2", "r1", 'op.add_column("users", sa.Column("mail", sa.Text))')
    assert command("protect")[0] == 0
    assert command("run", token=confirm())[0] == 0
    revision("r3", "r2", KILL)
    token = confirm()
    assert command("run", token=token)[0] == -signal.SIGKILL
    confirm()
    with sqlite3.connect(FOLDER / "app.db.ci-migrate") as ledger:
        hide_place(ledger)
        (HERE / "ledger_0_1_0.sql").write_text("\n".join(ledger.iterdump()) + "\n")


if __name__ == "__main__":
    main()
