"""The values of ci-migrate, frozen. Read `plan`, `evidence` and `report` first.

All of them are msgspec structs: `msgspec.json.encode(..., order="deterministic")` is their canonical JSON,
`msgspec.json.schema(Report)` their published schema. Names in JSON are camelCase. Times are UTC, ISO 8601;
durations are seconds.
"""

from ci_migrate.model.approvals import (
    Approvable,
    Approval,
    ProtectionChange,
    Purpose,
    Removal,
    Restoration,
    RunRepair,
    TokenKind,
    TokenRecord,
    decode_approvable,
)
from ci_migrate.model.backup import Backup, BackupFile, BackupStatus
from ci_migrate.model.base import Frozen, canonical_json, decode_foreign, now, sha256_hex
from ci_migrate.model.comparison import Comparison
from ci_migrate.model.evidence import (
    CommitPoint,
    Divergence,
    Evidence,
    LockHeld,
    Statement,
    TableEvidence,
    WayBack,
)
from ci_migrate.model.finding import Finding, Replacement, Severity
from ci_migrate.model.inputs import Inputs
from ci_migrate.model.lock_policy import LockPolicy
from ci_migrate.model.permit import Permit, repair_subject
from ci_migrate.model.plan import (
    Direction,
    Identity,
    Plan,
    PlannedContext,
    Revision,
    VersionTable,
    shortened_key,
)
from ci_migrate.model.records import EntryKind, JournalEntry, RunRecord
from ci_migrate.model.release import Misfit, MisfitKind, ReleaseFit
from ci_migrate.model.report import Outcome, Report, StageResult
from ci_migrate.model.schema import (
    ColumnContent,
    Delta,
    Fingerprint,
    ObjectKind,
    RowCount,
    Sample,
    Schema,
    SchemaChange,
    TableContent,
    delta,
    names_of,
    same_change,
    schema_changes,
    sorted_schema,
    split_key,
)
from ci_migrate.model.state import (
    Diagnosis,
    NextCommand,
    Progress,
    State,
    TargetState,
    as_hint,
    command_lines,
    read_commands,
)
from ci_migrate.model.words import list_some, name_some, plural, show_heads

__all__ = [
    "Approvable",
    "Approval",
    "Backup",
    "BackupFile",
    "BackupStatus",
    "ColumnContent",
    "CommitPoint",
    "Comparison",
    "Delta",
    "Diagnosis",
    "Direction",
    "Divergence",
    "EntryKind",
    "Evidence",
    "Finding",
    "Fingerprint",
    "Frozen",
    "Identity",
    "Inputs",
    "JournalEntry",
    "LockHeld",
    "LockPolicy",
    "Misfit",
    "MisfitKind",
    "NextCommand",
    "ObjectKind",
    "Outcome",
    "Permit",
    "Plan",
    "PlannedContext",
    "Progress",
    "ProtectionChange",
    "Purpose",
    "ReleaseFit",
    "Removal",
    "Replacement",
    "Report",
    "Restoration",
    "Revision",
    "RowCount",
    "RunRecord",
    "RunRepair",
    "Sample",
    "Schema",
    "SchemaChange",
    "Severity",
    "StageResult",
    "State",
    "Statement",
    "TableContent",
    "TableEvidence",
    "TargetState",
    "TokenKind",
    "TokenRecord",
    "VersionTable",
    "WayBack",
    "as_hint",
    "canonical_json",
    "command_lines",
    "decode_approvable",
    "decode_foreign",
    "delta",
    "list_some",
    "name_some",
    "names_of",
    "now",
    "plural",
    "read_commands",
    "repair_subject",
    "same_change",
    "schema_changes",
    "sha256_hex",
    "shortened_key",
    "show_heads",
    "sorted_schema",
    "split_key",
]
