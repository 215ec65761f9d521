"""What later jobs and steps of a CI ask of a run: GitHub's step outputs, GitLab's dotenv report."""

from ci_migrate.model import Report
from ci_migrate.reports.clean import plan_digest


def outputs(report: Report) -> dict[str, str]:
    """By GitHub's name of the output; "" where the run did not get so far. No value has a line break."""
    found = {
        "exit-code": str(int(report.exit_code)),
        "status": report.state.value,
        "plan-digest": plan_digest(report),
        "backup-id": report.backup.backup_id if report.backup is not None else "",
    }
    # a line break in a value would be one more output
    return {name: " ".join(value.split()) for name, value in found.items()}


def github_output(report: Report, folder: str) -> str:
    """The lines for the file that GITHUB_OUTPUT names; `folder` is where the reports are."""
    found = outputs(report) | {"report-dir": " ".join(folder.split())}
    return "".join(f"{name}={value}\n" for name, value in found.items())


class DotenvReporter:
    """`ci-migrate.env`: variables for later jobs, `MIGRATION_STATUS=migrated`.

    GitLab puts them into the environment of those jobs, and a `CI_MIGRATE_*` that sets nothing is refused there.
    """

    format = "dotenv"
    file = "ci-migrate.env"

    def render(self, report: Report) -> str:
        """One `NAME=value` a line."""
        names = {name: f"MIGRATION_{name.replace('-', '_').upper()}" for name in outputs(report)}
        return "".join(f"{names[name]}={value}\n" for name, value in outputs(report).items())
