"""The revision scripts of a project, loaded by its interpreter: all that collecting its trials needs.

Of our own modules it imports few, so that the child starts while the others are imported.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module

from ci_migrate.migrations.graph import graph_of
from ci_migrate.migrations.launch import launch
from ci_migrate.migrations.requests import project_setup
from ci_migrate.migrations.runner import Workers
from ci_migrate.migrations.template import make_template
from ci_migrate.model import Direction
from ci_migrate.settings.secrets import register_url
from ci_migrate.settings.settings import Settings


class Scripts:
    """The revision scripts of a project; no database is needed. `close` ends the children.

    Where no settings say where the target is, env.py is asked: it runs up to its first connection. The child that did
    stays for the trials.

    Raises:
        RefusedError, WorkerError: the scripts can't be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._stack = ExitStack()
        try:
            with ThreadPoolExecutor(1) as pool:
                loading = pool.submit(self._load, settings)
                # takes as long as the child does to import Alembic
                import_module("ci_migrate.testing.history")
                loading.result()
        except BaseException:
            self.close()
            raise

    def _load(self, settings: Settings) -> None:
        setup = project_setup(settings, Direction.UPGRADE, "heads")
        workers = self._stack.enter_context(Workers(launch(settings)))
        self.template = make_template(workers, setup) if settings.url is None else None
        if self.template is None:
            self.graph = graph_of(workers, setup)
            workers.close()
            return
        self.graph = self.template.graph
        register_url(self.template.url.render_as_string(hide_password=False))
        if self.template.forker is not None:
            self._stack.callback(self.template.forker.close)

    def close(self) -> None:
        """End the children. May be called twice."""
        self._stack.close()
