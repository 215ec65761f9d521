"""A permit: that the one door let something through. What writes takes one, and can't be called without."""

from dataclasses import InitVar, dataclass

from ci_migrate.errors import RefusedError
from ci_migrate.model.approvals import Approval, Purpose


def repair_subject(run_id: str, way: str) -> str:
    """What a permit of a repair is about: the run that is mended, and how."""
    return f"{run_id} {way or 'proof'}"


SEAL = object()
"""Who holds it can make permits: `run/authorization.py` alone, which a test of the architecture holds."""


@dataclass(frozen=True)
class Permit:
    """What a run may write, or take away. It is for these subjects only: one backup's is of no use for another.

    `subjects` are what the purpose is about: a plan's digest, ids of backups, names, the run that is repaired.
    `approval` is what allowed it; None where the target asks for none, or where an earlier use of one covers it.
    """

    run_id: str
    purpose: Purpose
    subjects: tuple[str, ...]
    approval: Approval | None = None
    # an InitVar is no field: `dataclasses.replace` asks for it again, so that a wider copy needs the seal too
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        """Only the door makes permits; a copy with other fields is none either."""
        if seal is not SEAL:
            raise TypeError("a Permit is made by ci_migrate.run.authorization alone")

    @property
    def approval_id(self) -> str | None:
        """Of what allowed it, for the audit trail."""
        return None if self.approval is None else self.approval.approval_id

    def require(self, *purposes: Purpose, subject: str) -> None:
        """Raise RefusedError unless this is what was permitted."""
        if self.purpose not in purposes or subject not in self.subjects:
            raise RefusedError(
                f"Permitted is {self.purpose.value} of {', '.join(self.subjects)[:200]}, "
                f"not {purposes[0].value} of {subject[:200]}."
            )
