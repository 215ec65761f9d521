"""The child process: runs Alembic and a project's env.py, unmodified, behind the wall.

The project's own interpreter runs `__main__.py` by its path, as pyproject-hooks does with its `_in_process`; ci-migrate
need not be installed there. So these files import the standard library, Alembic (1.11+) and SQLAlchemy (1.4+) only,
and keep to the syntax of Python 3.9. Among themselves they import relatively: in the child the package is named
`_ci_migrate_worker`.

One request comes in by the inherited standard input (typed in `ci_migrate/migrations/requests.py`), events go out by
the inherited standard output (typed in `ci_migrate/migrations/events.py`), one JSON object a line. Whatever env.py
prints goes to standard error.

Read `main.py` first: it goes from the request to the last event.
"""
