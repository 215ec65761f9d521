"""A reporter: what the dry run sent, as CSV."""

import csv
import io

from ci_migrate.model import Report


class StatementsReporter:
    """A format, a file's name, and a pure function of the finished Report. It must not fail, whatever is in there."""

    format = "statements"
    file = "statements.csv"

    def render(self, report: Report) -> str:
        """One line for each statement; only the head where there was no dry run."""
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["revision", "seconds", "rows", "sql"])
        for s in report.evidence.statements if report.evidence else ():
            rows.writerow(
                [s.revision or "env.py", f"{s.seconds:.3f}", "" if s.rows is None else s.rows, s.sql]
            )
        return text.getvalue()
