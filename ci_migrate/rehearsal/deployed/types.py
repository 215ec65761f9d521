"""Column types as a release meets them: which of them it reads and writes alike.

A type is its text in the dialect's DDL, the same for a model and for a reflected column. Alembic's compare tells
whether two types are the same; here the question is whether a program that was written for the one works on the other:
a longer VARCHAR differs and harms nobody.
"""

import math
import re
from dataclasses import dataclass, field

from ci_migrate.model.base import Frozen

ENDLESS = math.inf
_TYPE = re.compile(r"([A-Z_][A-Z0-9_ ]*?) *(?:\((.*?)\))? *((?:WITH|WITHOUT) (?:LOCAL )?TIME ZONE)? *(\[\])*")
_NOISE = re.compile(r"\b(?:CHARACTER SET|CHARSET|COLLATE) +\S+|\b(?:ZEROFILL|BINARY$)", re.IGNORECASE)


class ColumnType(Frozen, frozen=True):
    """A type by its text (`VARCHAR(20)`, `ENUM`), and the texts that an enum takes."""

    text: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """How an engine's types are grouped.

    `families`: from the type's name to what programs take it for; a type that is not there is a family of its own.
    `stand_ins`: (model's, column's) families that differ and work together all the same, by SQLAlchemy's own
    conversions. `loose`: those of which that is so only until another release writes. `sized`: whether the server holds
    texts and numbers to their sizes. `sizes`: of types without one.
    """

    families: dict[str, str]
    stand_ins: frozenset[tuple[str, str]] = frozenset()
    loose: frozenset[tuple[str, str]] = frozenset()
    sized: bool = True
    sizes: dict[str, float] = field(default_factory=dict)


def _families(**groups: str) -> dict[str, str]:
    return {
        name.strip(): family.replace("_", " ")
        for family, names in groups.items()
        for name in names.split(",")
    }


POSTGRESQL = Engine(
    families=_families(
        text="VARCHAR, CHARACTER VARYING, TEXT, CITEXT, NAME",
        padded_text="CHAR, CHARACTER, BPCHAR",  # read back with its blanks
        integer="SMALLINT, INTEGER, BIGINT, SERIAL, BIGSERIAL, SMALLSERIAL",
        # SQLAlchemy's Numeric and Float convert whichever of them comes
        number="NUMERIC, DECIMAL, REAL, FLOAT, DOUBLE PRECISION, DOUBLE",
        boolean="BOOLEAN, BOOL",
        timestamp="TIMESTAMP, TIMESTAMP WITHOUT TIME ZONE, DATETIME",
        timestamp_with_time_zone="TIMESTAMP WITH TIME ZONE, TIMESTAMPTZ",
        time="TIME, TIME WITHOUT TIME ZONE",
        json="JSON, JSONB",
        enum="ENUM",
    ),
    stand_ins=frozenset({("padded text", "text")}),
    sizes={"SMALLINT": 15, "SMALLSERIAL": 15, "INTEGER": 31, "SERIAL": 31, "BIGINT": 63, "BIGSERIAL": 63},
)
MYSQL = Engine(
    families=_families(
        text="VARCHAR, CHAR, NVARCHAR, NCHAR, TINYTEXT, TEXT, MEDIUMTEXT, LONGTEXT",
        integer="BOOL, BOOLEAN, TINYINT, SMALLINT, MEDIUMINT, INTEGER, INT, BIGINT",
        number="NUMERIC, DECIMAL",
        float="FLOAT, DOUBLE, DOUBLE PRECISION, REAL",  # read as float, where a program expects Decimal
        datetime="DATETIME, TIMESTAMP",
        bytes="BINARY, VARBINARY, TINYBLOB, BLOB, MEDIUMBLOB, LONGBLOB",
        enum="ENUM",
    ),
    # texts both ways; MariaDB's JSON is a LONGTEXT. A Float takes a Decimal and makes a float of it
    stand_ins=frozenset({("json", "text"), ("enum", "text"), ("float", "number")}),
    sizes={"BOOL": 7, "BOOLEAN": 7, "TINYINT": 7, "SMALLINT": 15, "MEDIUMINT": 23, "INTEGER": 31, "INT": 31,
           "BIGINT": 63, "TINYTEXT": 255, "TEXT": 65535, "MEDIUMTEXT": 2**24 - 1, "LONGTEXT": 2**32 - 1,
           "TINYBLOB": 255, "BLOB": 65535, "MEDIUMBLOB": 2**24 - 1, "LONGBLOB": 2**32 - 1},
)  # fmt: skip
SQLITE = Engine(
    families=_families(
        text="VARCHAR, CHAR, NVARCHAR, NCHAR, TEXT, CLOB, CHARACTER, CHARACTER VARYING, ENUM",
        integer="INTEGER, INT, SMALLINT, BIGINT, TINYINT, MEDIUMINT, BOOLEAN, BOOL",
        number="NUMERIC, DECIMAL",
        float="FLOAT, REAL, DOUBLE, DOUBLE PRECISION",
        datetime="DATETIME, TIMESTAMP",
        bytes="BLOB, BINARY, VARBINARY",
    ),
    # SQLAlchemy keeps moments and JSON as texts there, and an INTEGER column keeps fractions (affinity NUMERIC)
    stand_ins=frozenset({
        ("datetime", "text"), ("date", "text"), ("time", "text"), ("json", "text"), ("number", "integer"),
        ("number", "float"), ("float", "number"), ("float", "integer"),
    }),
    # what the release writes itself it reads again; what the next one writes it may not
    loose=frozenset({("integer", "number"), ("datetime", "date"), ("date", "datetime")}),
    sized=False,
)  # fmt: skip
ENGINES = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}


@dataclass(frozen=True)
class Parsed:
    """A type as programs meet it. `low` and `high` bound what it takes: bits, characters, digits before the point."""

    family: str
    low: float = -ENDLESS
    high: float = ENDLESS
    scale: float = ENDLESS


def parse_type(engine: Engine, type_: ColumnType) -> Parsed | None:
    """The family of a type and its bounds; None where nothing is known of it."""
    text = " ".join(_NOISE.sub("", type_.text).upper().split())
    unsigned = " UNSIGNED" in text
    match = _TYPE.fullmatch(text.replace(" UNSIGNED", ""))
    if match is None or not match[1] or text == "NULL":
        return None
    name = f"{match[1]} {match[3]}" if match[3] else match[1]
    family = engine.families.get(name, name.lower())
    if match[4]:
        return Parsed(f"array of {family}")
    if not engine.sized:
        return Parsed(family)
    digits = [int(part) for part in re.findall(r"\d+", match[2] or "")]
    size = engine.sizes.get(name, digits[0] if digits else ENDLESS)
    if family == "integer":
        return Parsed(family, 0 if unsigned else -size, size + unsigned)
    if family == "number" and name in ("NUMERIC", "DECIMAL") and digits:
        scale = digits[1] if len(digits) > 1 else 0
        return Parsed(family, 0 if unsigned else -ENDLESS, digits[0] - scale, scale)
    if family in ("text", "padded text", "bytes"):
        return Parsed(family, high=size)
    return Parsed(family)


def takes(engine: Engine, model: Parsed, column: Parsed) -> bool:
    """Whether a program that was written for the one family reads and writes the other."""
    return model.family == column.family or (model.family, column.family) in engine.stand_ins


def narrower(column: Parsed, than: Parsed) -> bool:
    """Whether it refuses or rounds values that the other one takes; both of one family."""
    return column.low > than.low or column.high < than.high or column.scale < than.scale
