"""Revision scripts as text: what stands in them as plain values is read, what is computed is not guessed."""

from types import SimpleNamespace

import pytest

from ci_migrate.migrations.worker.script_text import list_files, read_script, read_scripts

BODY = "\n\ndef upgrade():\n    op.execute('x')\n\n\ndef downgrade():\n    {}\n"


@pytest.fixture
def script(tmp_path):
    def write(text: str, name: str = "r1.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(file)

    return write


@pytest.mark.parametrize(
    "text",
    [
        "revision = 'r1'\ndown_revision = 'r0'\n",
        'revision: str = "r1"\ndown_revision: "str | None" = ("r0")\n',
        "import app.models  # which is not there\nrevision = 'r1'\ndown_revision = 'r0'\n",
        "revision, other = 1, 2\nrevision = 'r1'\ndown_revision = 'r0'\n",
        "\ufeffrevision = 'r1'\ndown_revision = 'r0'\n",
        "revision = 'r9'\nrevision = 'r1'\ndown_revision = 'r' '0'\n",
        "class revision: pass\nrevision = other = 'r1'\ndown_revision = 'r0'\n",
        "# -*- coding: latin-1 -*-\n# größe\nrevision = 'r1'\ndown_revision = 'r0'\n".encode("latin-1"),
    ],
)
def test_plain_values_are_read_and_nothing_is_imported(script, text):
    found = read_script(script(text))
    assert (found.revision, found.down_revision) == ("r1", "r0")


@pytest.mark.parametrize(
    "text", ["", "x = 1", "revision = None", "def f():\n    revision = 'r1'\n", "revision: str\n"]
)
def test_what_names_no_revision_is_none(script, text):
    assert read_script(script(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "revision = make_id()\n",
        "revision = 'r1'\ndown_revision = f'{x}'\n",
        "revision = 'r1'\ndepends_on = PARENTS\n",
        "revision = 'r1'\nci_migrate = dict(allow={})\n",
        "revision = 'r1'\ndef broken(:\n",
        "revision = 'r1'\n\x00",
        "# -*- coding: nonsense -*-\nrevision = 'r1'\n",
    ],
)
def test_what_is_computed_or_broken_is_not_guessed(script, text):
    with pytest.raises((ValueError, SyntaxError)):
        read_script(script(text))


@pytest.mark.parametrize(
    ("body", "leads_back"),
    [
        ("pass", False),
        ("...", False),
        ('"""No way."""', False),
        ("raise NotImplementedError", False),
        ("raise NotImplementedError('never')", False),
        ("raise ValueError('never')", True),  # which is its own affair: a rehearsal tells
        ("op.execute('y')", True),
        ("pass\n    op.execute('y')", True),
        ("return", True),
    ],
)
def test_whether_a_downgrade_leads_back(script, body, leads_back):
    assert read_script(script("revision = 'r1'\n" + BODY.format(body))).leads_back is leads_back


def test_without_anything_to_undo_nothing_is_to_be_undone(script):
    """A merge has two empty functions, and leads back."""
    empty = "revision = 'm'\ndown_revision = ('a', 'b')\n\ndef upgrade():\n    pass\n\ndef downgrade():\n    pass\n"
    found = read_script(script(empty))
    assert (found.leads_back, found.down_revision) == (True, ("a", "b"))
    assert read_script(script("revision = 'r1'\ndef upgrade():\n    pass\n")).leads_back is False


def test_all_that_a_script_says_of_itself_comes_along(script):
    text = (
        '"""First line.\n\nMore."""\nrevision = "r1"\ndown_revision = None\ndepends_on = ["x"]\n'
        'branch_labels = ("blue",)\nci_migrate = {"allow": {"CM101": "why"}}\n'
    )
    found = read_script(script(text))
    assert (found.doc, found.own) == ("First line.", {"allow": {"CM101": "why"}})
    assert (found.dependencies, set(found._orig_branch_labels)) == ("x", {"blue"})


def test_folders_are_walked_as_alembic_walks_them(script, tmp_path):
    script("revision = 'a'", "one/b.py")
    script("revision = 'b'", "one/a.py")
    script("revision = 'c'", "one/deep/c.py")
    script("no python", "one/README")
    assert [f[len(str(tmp_path)) :] for f in list_files([str(tmp_path / "one")], recursive=False)] == [
        "/one/a.py",
        "/one/b.py",
    ]
    assert len(list_files([str(tmp_path / "one")], recursive=True)) == 3
    assert list_files([str(tmp_path / "nowhere")], recursive=True) == []


def test_revisions_come_newest_first_and_a_broken_graph_is_told(script, tmp_path):
    for name, down in (("r1", None), ("r3", "r2"), ("r2", "r1")):
        script(f"revision = {name!r}\ndown_revision = {down!r}\n", f"versions/{name}.py")
    script("x = 1\n", "versions/helpers.py")
    place = SimpleNamespace(version_locations=None, dir=str(tmp_path))
    assert [one.revision for one in read_scripts(place)] == ["r3", "r2", "r1"]
    script("revision = 'r4'\ndown_revision = 'gone'\n", "versions/r4.py")
    with pytest.raises(Exception, match="gone"), pytest.warns(UserWarning):
        read_scripts(place)
