"""`ci-migrate serve key create|list|revoke`."""

import click

from ci_migrate.commands import VerbGroup
from ci_migrate.ledger.keys import KeyRecord


@click.group("key", cls=VerbGroup, verb="serve key")
def command() -> None:
    """Make, list and revoke keys. The target's ledger holds their hashes; a key is good for that target alone."""


def line(record: KeyRecord) -> str:
    """A key as it is listed."""
    good = "never expires" if record.expires is None else f"until {record.expires:%Y-%m-%d %H:%M} UTC"
    if record.revoked is not None:
        good = f"revoked {record.revoked:%Y-%m-%d %H:%M} UTC"
    return f"{record.key_id}  {record.role:<8}  {record.target}  {record.name}  {good}"
