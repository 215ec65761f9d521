"""Fixtures that several files here share."""

from mysql_support import access, fresh, payload, rich

__all__ = ["access", "fresh", "payload", "rich"]
