"""Fixtures that several files here share."""

from mysql_support import access, beside, either, fresh, payload, rich

__all__ = ["access", "beside", "either", "fresh", "payload", "rich"]
