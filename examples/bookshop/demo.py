"""The gate on the bookshop, in four acts: green, refused, killed and repaired, approved.

python examples/bookshop/demo.py [FOLDER]     # works on a copy, in build/demo by default
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, "-m", "ci_migrate"]


def act(title: str, *lines: str) -> None:
    """A heading."""
    print(f"\n{'=' * 100}\n{title}\n{'=' * 100}", *lines, sep="\n", flush=True)


def call(*arguments: str, expect: int, folder: Path, **environ: str) -> None:
    """Run ci-migrate as a person would, and insist on its exit code."""
    print(f"\n$ ci-migrate {' '.join(arguments)}", flush=True)
    done = subprocess.run([*COMMAND, *arguments], cwd=folder, env={**os.environ, **environ}, check=False)
    print(f"(exit code {done.returncode})", flush=True)
    if done.returncode != expect:
        sys.exit(f"the demo expected exit code {expect}")


def alembic(*arguments: str, folder: Path, **environ: str) -> None:
    """Plain Alembic, to bring the shop to where the story begins."""
    command = [sys.executable, "-m", "alembic", *arguments]
    subprocess.run(command, cwd=folder, env={**os.environ, **environ}, check=True, stderr=subprocess.DEVNULL)


def make_shop(folder: Path) -> Path:
    """A bookshop at revision 0002 with some thousand rows, from which each act begins."""
    file = folder / "at-0002.db"
    alembic("upgrade", "0002", folder=folder, BOOKSHOP_DATABASE_URL=f"sqlite:///{file}")
    subprocess.run([sys.executable, "seed.py", f"sqlite:///{file}"], cwd=folder, check=True)
    return file


def kill_at(revision: str, *arguments: str, folder: Path) -> None:
    """Start a run and end it, child and all, with kill -9 when it says that it begins this revision."""
    print(f"\n$ ci-migrate {' '.join(arguments)}      # and kill -9 in the middle of {revision}", flush=True)
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            print(line, end="", flush=True)
            if line.strip().startswith(revision):
                run.send_signal(signal.SIGKILL)
                break
    print("Killed", flush=True)


def beginning(xml: str, lines: int = 12, width: int = 160) -> str:
    """The first lines, and where one is long its start: nothing that ends within a tag by accident."""
    shown = [line if len(line) <= width else f"{line[:width]} ..." for line in xml.splitlines()[:lines]]
    return "\n".join([*shown, "..."])


def main() -> None:
    """All four acts."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*", ".ci-migrate"))
    shop = make_shop(folder)
    shutil.copy(shop, folder / "bookshop.db")

    act("1. Green: six revisions on a shop with 11,705 rows")
    call("plan", "--target", "dev", expect=0, folder=folder)
    call("run", "--target", "dev", expect=0, folder=folder)

    act("2. Refused: one revision fails on real data, one loses it; the target stays untouched")
    call("run", "--target", "dev", "-c", "alembic-fails.ini", expect=1, folder=folder)
    call("run", "--target", "dev", "-c", "alembic-loses.ini", expect=1, folder=folder)

    act("3. Killed: kill -9 in the middle of a migration; the next command knows, and proves the state")
    for file in folder.glob("bookshop.db*"):
        file.unlink()
    shutil.copy(shop, folder / "bookshop.db")
    kill_at("0006", "run", "--target", "dev", folder=folder)
    call("status", "--target", "dev", expect=7, folder=folder)
    call("repair", "--target", "dev", "--dry-run", expect=0, folder=folder)
    call("repair", "--target", "dev", expect=0, folder=folder)
    call("run", "--target", "dev", expect=0, folder=folder)

    act("4. Production: no token, no migration")
    shutil.copy(shop, folder / "production.db")
    call("run", "--target", "production", expect=4, folder=folder)
    generate = ["token", "generate", "--target", "production", "--reason", "release 1.1", "--by", "ada"]
    print(f"\n$ export CI_MIGRATE_TOKEN=$(ci-migrate {' '.join(generate)})", flush=True)
    token = subprocess.run(
        [*COMMAND, *generate], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    call("run", "--target", "production", expect=0, folder=folder, CI_MIGRATE_TOKEN=token.strip())

    act("Reports", *(f"  {path}" for path in sorted((folder / ".ci-migrate" / "reports").iterdir())))
    print("\nThe JUnit report of the last run, as a CI shows it:\n")
    print(beginning((folder / ".ci-migrate" / "reports" / "junit.xml").read_text()))


if __name__ == "__main__":
    main()
