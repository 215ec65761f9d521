"""A child that stays: it is forked for others, and an interpreter of its own does as well where it is gone."""

import os
import signal

import msgspec
import pytest
import sqlalchemy as sa
from child_support import Seen, plain_request, start_workers
from env_zoo import PLAIN, SYNC, new_zoo

from ci_migrate.migrations.template import make_template

COUNTS = "import sys\nsys.runs = getattr(sys, 'runs', 0) + 1\nprint('run', sys.runs)\n"


@pytest.fixture
def zoo(tmp_path):
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN, history=False)
    zoo.revision("r1", None, 'op.execute("create table users (id integer)")')
    return zoo


@pytest.fixture
def counted(zoo):
    """env.py prints how often it ran in this process."""
    env = zoo.folder / "migrations" / "env.py"
    env.write_text(COUNTS + env.read_text())
    return zoo


def asked(zoo):
    return msgspec.structs.replace(plain_request(zoo).setup, databases=())


def test_it_tells_url_and_graph_and_is_forked_for_others(counted):
    with start_workers(counted) as workers:
        template = make_template(workers, asked(counted))
        workers.template = template.forker
        try:
            ended = workers.run(plain_request(counted), Seen())
        finally:
            template.forker.close()
    assert template.url.database == counted.url.database
    assert [r.id for r in template.graph.revisions] == ["r1"]
    assert ended.ok
    assert ended.output.split() == ["run", "2"]
    assert {"migrations/env.py", "migrations/versions/r1.py"} <= {
        name.removeprefix(f"{counted.folder}/") for name in ended.inputs.files
    }


def test_where_it_is_gone_an_interpreter_starts(counted):
    with start_workers(counted) as workers:
        template = make_template(workers, asked(counted))
        workers.template = template.forker
        os.kill(template.forker._process.pid, signal.SIGKILL)
        ended = workers.run(plain_request(counted), Seen())
        template.forker.close()
    assert ended.ok
    assert ended.output.split() == ["run", "1"]


@pytest.mark.parametrize(
    "env", ["raise ValueError", "import os; os._exit(0)", "pass"], ids=["fails", "ends", "never connects"]
)
def test_there_is_none_where_env_py_comes_to_no_connection(zoo, env):
    (zoo.folder / "migrations" / "env.py").write_text(env)
    with start_workers(zoo) as workers:
        assert make_template(workers, asked(zoo)) is None
