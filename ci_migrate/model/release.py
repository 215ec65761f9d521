"""Whether releases that are older than a migration still work with the database that it leaves."""

from enum import StrEnum

from ci_migrate.model.base import Frozen


class MisfitKind(StrEnum):
    """What of the migrated database an older release meets that it does not expect."""

    GONE = "gone"  # a table or a column that it names
    REQUIRED = "required"  # its INSERT is refused
    TYPE = "type"  # it can't read or write the values
    NULL = "null"  # a column that it takes for NOT NULL
    CONSTRAINT = "constraint"  # it may write what is refused


class Misfit(Frozen, frozen=True, kw_only=True):
    """One thing that a release's models expect and the migrated database does not give.

    `column` is "" for what is said of the whole table. `certain`: it fails wherever the release uses it; else that
    depends on what it writes. `revision`, `file` and `line` are of the statement that made it so, if one is known.
    """

    kind: MisfitKind
    table: str
    column: str = ""
    words: str
    certain: bool = True
    revision: str | None = None
    file: str | None = None
    line: int | None = None


class ReleaseFit(Frozen, frozen=True, kw_only=True):
    """How far back one can still go after a migration.

    `deployed` is the release that runs now, as the settings name it. `unknown` says why its models could not be
    compared, `remedy` what to do about it; "" where they were. `floor` is the oldest release that still works with the
    migrated database, "" where not even the deployed one does; `floors` says so after each pending revision. `fitting`
    are the releases that work, the newest first; `ended` says why no older ones were looked at. `words` is the floor
    in one line.
    """

    deployed: str
    unknown: str = ""
    remedy: str = ""
    misfits: tuple[Misfit, ...] = ()
    fitting: tuple[str, ...] = ()
    floor: str = ""
    floors: dict[str, str] = {}
    ended: str = ""
    words: str = ""

    @property
    def fits(self) -> bool:
        """Whether the deployed release works with the migrated database."""
        return not self.unknown and not any(one.certain for one in self.misfits)
