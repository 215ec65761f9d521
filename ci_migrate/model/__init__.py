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
from ci_migrate.model.finding import Finding, Severity
from ci_migrate.model.inputs import Inputs
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
    split_key,
)
from ci_migrate.model.state import (
    Diagnosis,
    NextCommand,
    Progress,
    State,
    TargetState,
    describe_proof,
)

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
    "NextCommand",
    "ObjectKind",
    "Outcome",
    "Permit",
    "Plan",
    "PlannedContext",
    "Progress",
    "ProtectionChange",
    "Purpose",
    "Removal",
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
    "canonical_json",
    "decode_approvable",
    "decode_foreign",
    "delta",
    "describe_proof",
    "names_of",
    "now",
    "repair_subject",
    "same_change",
    "schema_changes",
    "sha256_hex",
    "shortened_key",
    "split_key",
]
