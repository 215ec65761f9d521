"""The names that the service answers to.

A page that somebody else's name server points at this machine (DNS rebinding) reaches a service on 127.0.0.1 from the
browser of whoever visits it, under that page's own name. Such a name is not ours. An address is no name: nobody can
point one elsewhere.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = ("localhost",)


class Hosts:
    """Those names; `localhost` and each address are among them."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in (*LOOPBACK, *names))

    def serve(self, header: str) -> bool:
        """Whether a call with this header is for us."""
        try:  # urlsplit refuses half a bracket; a port and a user before the name are no part of it
            name = (urlsplit(f"//{header}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._names or _is_address(name)

    def words(self, header: str) -> str:
        """Why it is not."""
        return f"This service does not answer to the name {header[:100]!r}: start it with --host-name NAME."


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
