"""A project whose target is backed up by the scripts of examples/physical-backups."""

import json
import sys
from pathlib import Path

import psycopg
from sqlalchemy import create_engine, text

EXAMPLES = Path(__file__).parents[2] / "examples" / "physical-backups"

ROWS = 500


class Shop:
    """A project whose target has rows, is at r1, and is backed up by a script of the examples."""

    def __init__(self, project, url) -> None:
        self.project, self.url = project, url
        self.env = {"SHOP": url.render_as_string(hide_password=False)}
        (project.folder / "migrations" / "versions" / "r2.py").unlink()
        project.revision(
            "r1", None, "create table users (id integer primary key, name varchar(50))", "drop table users"
        )
        project.settings('[targets.dev]\nurl = "env:SHOP"\n')
        done = self.run("run")
        assert done.code == 0, done.text
        numbers = f"with recursive n (i) as (select 1 union all select i + 1 from n where i < {ROWS})"
        words = "concat('name ', i)" if url.get_backend_name() != "postgresql" else "'name ' || i"
        self.sql(f"insert into users {numbers} select i, {words} from n")
        project.revision(
            "r2", "r1", "alter table users add column city varchar(20)", "alter table users drop city"
        )

    def run(self, *words, code=None, **env):
        done = self.project.run(*words, env={**self.env, **env})
        assert code is None or done.code == code, done.text
        return done

    def sql(self, *statements):
        engine = create_engine(self.url)
        with engine.begin() as connection:
            found = [connection.execute(text(statement)) for statement in statements]
            rows = list(found[-1]) if found[-1].returns_rows else []
        engine.dispose()
        return rows

    def provider(
        self, script: str, *arguments: str, clone=("{id}", "{folder}"), drop: bool = False, more: str = ""
    ) -> None:
        def command(verb, *rest):
            argv = [sys.executable, str(EXAMPLES / script), verb, *arguments, *rest]
            return f"provider-{verb} = {json.dumps(argv)}"

        lines = [command("create", "{id}"), command("clone", *clone), command("delete", "{id}")]
        lines += [command("drop", "{id}")] if drop else []
        self.project.settings(
            "\n".join(['[targets.dev]\nurl = "env:SHOP"\nprovider = "command"', *lines, more])
        )

    def backup(self) -> dict:
        return json.loads(self.run("backup", "list", "--json", code=0).out)[-1]


def made_in(server):
    """The URL of a new database."""
    with psycopg.connect(server.admin_url.render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute("CREATE DATABASE shop")
    return server.url("shop").set(drivername="postgresql+psycopg")
