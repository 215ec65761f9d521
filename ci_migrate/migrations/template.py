"""A child that stays: it has run env.py up to its first connection, and is forked for each later request.

The application is imported once instead of once for each child. No revision ran in it, so that no child sees what
another one's revisions left behind; what env.py does before it connects is done twice in each.
"""

from dataclasses import dataclass

from sqlalchemy import URL

from ci_migrate.migrations import events
from ci_migrate.migrations.forking import Forker
from ci_migrate.migrations.graph import Inspection, read_wanted_url
from ci_migrate.migrations.requests import AskUrlRequest, Setup
from ci_migrate.migrations.runner import Workers


@dataclass(frozen=True)
class Template:
    """What env.py and scripts told on the way.

    Attributes:
        url: where env.py wanted to connect, with its password.
        graph: the revisions.
        forker: forks the later children, and is the caller's to close; None where it could not stay: it has threads.
    """

    url: URL
    graph: events.Graph
    forker: Forker | None


def make_template(workers: Workers, setup: Setup) -> Template | None:
    """Run env.py up to its first connection, then load the scripts; None where one of them fails or none is made."""
    found = Inspection()
    _, forker = workers.stay(AskUrlRequest(setup=setup, stays=True), found.handle)
    if found.wanted and found.graph is not None:
        return Template(read_wanted_url(found), found.graph, forker)
    if forker is not None:
        forker.close()
    return None
