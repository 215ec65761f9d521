"""The pictures of the pages, of real runs on the bookshop: python tests/support/picture.py.

`refused.svg` is what the terminal shows, `schema.svg` what the HTML report draws.
"""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
BOOKSHOP = ROOT / "examples" / "bookshop"
WIDTH = 104


def on_a_terminal(*arguments: str, folder: Path) -> str:
    """What the command prints where standard output is a terminal."""
    reader, writer = pty.openpty()
    environ = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "GITHUB_ACTIONS")}
    child = subprocess.Popen(
        [sys.executable, "-m", "ci_migrate", *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=writer,
        stderr=subprocess.DEVNULL, env=environ | {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(writer)
    parts = []
    with open(reader, "rb", buffering=0) as terminal:
        while True:
            try:
                data = terminal.read(65536)
            except OSError:  # so Linux says that the other end is closed
                break
            if not data:
                break
            parts.append(data)
    child.wait()
    return b"".join(parts).decode().replace("\r\n", "\n").replace(str(folder), "~/bookshop")


def picture(name: str, command: str, folder: Path) -> None:
    """Run the command and draw what it prints."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    console.print(
        Text.from_ansi(f"\x1b[1m$ {command}\x1b[0m\n" + on_a_terminal(*command.split()[1:], folder=folder))
    )
    svg = console.export_svg(title=command, unique_id=name)
    svg = re.sub(
        r"@font-face \{.*?\}", "", svg, flags=re.DOTALL
    )  # a picture that asks the network for its letters
    (ROOT / "docs" / f"{name}.svg").write_text(svg, encoding="utf-8")


def drawing(folder: Path) -> str:
    """What the report of the last run draws of the schema's change, with the page's own style."""
    page = (folder / ".ci-migrate" / "reports" / "report.html").read_text(encoding="utf-8")
    style = page.partition("<style>")[2].partition("</style>")[0]
    found = re.search(r'<svg class="schema wide".*?</svg>', page, re.DOTALL)
    assert found is not None
    # in a narrow page the report shows the other drawing, which is not here
    svg = found[0].replace('class="schema wide"', 'xmlns="http://www.w3.org/2000/svg" class="schema"', 1)
    svg = svg.replace(" The table below says the same in words.", "")
    svg = svg.replace("<title id", f"<style>{style}svg.schema {{ margin: 0; }}\n</style>\n<title id", 1)
    return f"{svg}\n"


@contextmanager
def migrated_bookshop() -> Iterator[Path]:
    """The folder of a bookshop that was run to its head from revision 0002, with its rows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "bookshop"
        shutil.copytree(BOOKSHOP, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*", "backups"))
        url = f"sqlite:///{folder / 'bookshop.db'}"
        alembic = [sys.executable, "-m", "alembic", "upgrade", "0002"]
        subprocess.run(alembic, cwd=folder, env={**os.environ, "BOOKSHOP_DATABASE_URL": url}, check=True,
                       capture_output=True)  # fmt: skip
        subprocess.run([sys.executable, "seed.py", url], cwd=folder, check=True, capture_output=True)
        on_a_terminal("run", "--target", "dev", folder=folder)
        yield folder


def main() -> None:
    with migrated_bookshop() as folder:
        (ROOT / "docs" / "schema.svg").write_text(drawing(folder), encoding="utf-8")
        picture("refused", "ci-migrate run --target dev -c alembic-fails.ini", folder)


if __name__ == "__main__":
    main()
