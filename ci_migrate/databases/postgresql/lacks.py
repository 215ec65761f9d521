"""What a restore lacks, for which reason: what its role may not do, and roles that its server has not."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.about import About, Member
from ci_migrate.errors import BackupError

if TYPE_CHECKING:
    import psycopg


RELATIONS = ("table ", "view ", "materialized view ")
"""How the keys of what has columns begin."""

PARTS = ("column", "constraint", "trigger", "rule", "policy")
"""Kinds whose keys name a relation and then themselves."""


@dataclass(frozen=True)
class Lacks:
    """What a restore rightly made otherwise than it was, or not at all, and why."""

    reasons: dict[str, str] = field(default_factory=dict)  # by key of the schema
    starts: dict[str, str] = field(default_factory=dict)  # by how keys begin

    def leave_out(self, member: Member, why: str) -> None:
        """Write down that an object is not there, nor what belongs to it."""
        key = member.key
        for exact in (key, f"owner {key}", f"comment on {member.kind} {member.identity}"):
            self.reasons.setdefault(exact, why)
        starts = [f"grant {key.replace('foreign-data', 'foreign data')} to "]
        if key.startswith(RELATIONS):
            name = key.removeprefix("materialized ").partition(" ")[2]
            starts += [f"{part} {name}." for part in PARTS]
            starts += [f"grant column {name}.", f"comment on {member.kind} column {member.identity}."]
        for start in starts:
            self.starts.setdefault(start, why)

    def why(self, key: str) -> str:
        """Why a schema object is missing or another one; "" where it should be as it was."""
        if key in self.reasons:
            return self.reasons[key]
        return next((why for start, why in self.starts.items() if key.startswith(start)), "")


@dataclass(frozen=True)
class Roles:
    """The roles that a dump names, as this server and this role see them.

    `missing` are owners that this role can't give objects to, `grantable` those of them that it could be granted;
    `unknown` are not there at all.
    """

    missing: tuple[str, ...]
    grantable: tuple[str, ...]
    unknown: tuple[str, ...]
    superuser: bool

    @classmethod
    def look(cls, connection: "psycopg.Connection[Any]", about: About) -> "Roles":
        # until 15 a member may always SET ROLE
        privilege = "SET" if connection.info.server_version >= 160000 else "MEMBER"
        named = [
            *about.owners,
            *about.grantees,
            *(role for _, roles in about.policies for role in roles),
        ]
        rows = connection.execute(
            f"SELECT rolname, pg_has_role(oid, '{privilege}'), rolsuper FROM pg_roles WHERE rolname = ANY(%s)",
            [named],
        ).fetchall()
        there = {name: (ours, superuser) for name, ours, superuser in rows}
        missing = tuple(o for o in about.owners if not there.get(o, (False, False))[0])
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        return cls(
            missing=missing,
            grantable=tuple(o for o in missing if o not in there or not there[o][1]),
            unknown=tuple(sorted(set(named) - {"public"} - there.keys())),
            superuser=bool(row and row[0]),
        )

    def refuse(self, user: str) -> None:
        """Raise BackupError where an owner could be granted; what belongs to a superuser is told afterwards."""
        if self.grantable:
            raise BackupError(
                f"Role {user} can't restore what belongs to {', '.join(self.grantable)}.",
                hint=f"GRANT {', '.join(self.grantable)} TO {user};  (or restore as a superuser)",
            )

    def no_rights(self, about: About) -> bool:
        """Whether rights can't be restored as they were given."""
        return bool(self.unknown) or (about.grantors and not self.superuser)

    def tell(self, user: str, about: About, lacks: Lacks) -> None:
        """Write down what differs therefore."""
        for role in self.missing:
            lacks.starts[f"default privileges of {quote_part(role)} "] = (
                f"role {user} can't set those of {role}"
            )
        if self.missing:
            why = f"role {user}, which restored it, can't give objects to {', '.join(self.missing)}"
            lacks.starts["owner "] = lacks.starts["grant "] = why
        if self.unknown:
            why = f"this server has no role {', '.join(self.unknown)}"
            lacks.starts["grant "] = lacks.starts["policy "] = why
        elif self.no_rights(about):
            lacks.starts.setdefault("grant ", f"role {user} can't give rights in the name of another")
        if self.no_rights(about):
            lacks.starts.setdefault("default privileges of ", lacks.starts["grant "])


def quote_part(name: str) -> str:
    """A name as the keys of the schema have it."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'
