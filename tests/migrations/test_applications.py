"""Projects whose scripts and env.py need their application: what it imports, and what it does when it is loaded."""

import subprocess

import pytest
from alembic_project import ENV, INI, new_project
from env_zoo import PLAIN, SYNC, new_zoo, url

__all__ = ["url"]

ON_PATH = INI.replace("[alembic]\n", "[alembic]\nprepend_sys_path = .\n", 1)

CONTEXT = """
current = None

class Proxy:
    def __getattr__(self, name):
        if current is None:
            raise RuntimeError("Working outside of application context.")
        return current[name]

app = Proxy()
"""
ENTERS = 'import application\napplication.current = {"length": 40}\n'
NEEDS_IT = "from application import app\nLENGTH = app.length"


@pytest.fixture
def project(tmp_path):
    """A revision that can be imported only once env.py has entered the application."""
    project = new_project(tmp_path, env=ENTERS + ENV, ini=ON_PATH)
    project.write("application.py", CONTEXT)
    project.revision(
        "r3",
        "r2",
        'op.add_column("users", sa.Column("nick", sa.String(LENGTH)))',
        'op.drop_column("users", "nick")',
        extra=NEEDS_IT,
    )
    return project


def test_F94_a_revision_that_imports_inside_of_the_application_alone(project):
    done = project.call("check")
    assert done.code == 0, done.text
    assert "3 revisions to run: base -> r3" in done.text
    done = project.call("run")
    assert done.code == 0, done.text
    assert project.heads == ["r3"]
    assert "nick" in [row[1] for row in project.sql("pragma table_info(users)")]


def test_F94_check_since_reads_scripts_that_it_cannot_import(project):
    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=project.folder, check=True, capture_output=True)

    added = project.folder / "migrations" / "versions" / "r3.py"
    text = added.read_text()
    added.unlink()
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "first")
    added.write_text(text)
    done = project.call("check", "--since", "main")
    assert done.code == 0, done.text
    assert "r2 -> r3" in done.text
    assert "CM401" not in done.codes()
    added.write_text(text.replace('op.drop_column("users", "nick")', "pass"))
    assert "CM401" in project.call("check", "--since", "main").codes()
    # what can't be read as text either: the error of its import stands
    added.write_text(text.replace('revision = "r3"', 'revision = "".join("r3")'))
    done = project.call("check", "--since", "main")
    assert done.code == 1, done.text
    assert "Working outside of application context" in done.text


def test_F94_a_broken_script_is_still_named(project):
    project.revision("r4", "r3", "pass", extra="import not_there")
    done = project.call("check")
    assert done.code == 1, done.text
    words = " ".join(done.text.split())
    assert "A revision script can't be loaded" in words
    assert "r4.py" in words
    assert "not_there" in words


@pytest.mark.parametrize("configure", ["nowhere:configure", "application:missing"])
def test_F94_configure_names_what_is_not_there(project, configure):
    project.settings(f'configure = "{configure}"\n')
    done = project.call("check")
    assert done.code == 2, done.text
    words = " ".join(done.text.split())
    assert "The setting `configure` names what can't be imported" in words
    assert configure.split(":")[1 if "missing" in configure else 0] in words
    assert "env.py failed" not in words


WRITES = {
    "orm": "    session.add_all([Setting(name='a'), Setting(name='b')])",
    "returning": "    session.execute(sa.insert(Setting).values(name='a').returning(Setting.id)).scalar_one()",
    "raw": "    session.connection().connection.cursor().execute(\"insert into settings (name) values ('a')\")",
}
APPLICATION = """
import sqlalchemy as sa
from sqlalchemy.orm import Session, declarative_base

Base = declarative_base()

class Setting(Base):
    __tablename__ = "settings"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)

def start(url):
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        BODY
        session.commit()
"""


@pytest.mark.parametrize("how", WRITES)
def test_F94_an_application_that_writes_when_it_starts(url, tmp_path, how):
    zoo = new_zoo(
        tmp_path, url, "import application\n" + SYNC + "application.start(url)\n" + PLAIN, ini=ON_PATH
    )
    zoo.write("application.py", APPLICATION.replace("        BODY", "    " + WRITES[how]))
    zoo.prepare("create table settings (id integer primary key, name varchar(10))")
    done = zoo.gate("check", code=8)
    words = " ".join(done.text.split())
    assert "The application writes to its database when env.py loads it" in words
    assert "CI_MIGRATE_STAGE" in words
    assert zoo.rows("settings") == []
