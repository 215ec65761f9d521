"""The reporters that are built in: a literal list, registered by the hook like those of any plugin."""

from collections.abc import Sequence

from ci_migrate.markers import hookimpl
from ci_migrate.reports.base import Reporter
from ci_migrate.reports.gitlab import CodeQualityReporter
from ci_migrate.reports.html import HtmlReporter
from ci_migrate.reports.json_report import JsonReporter
from ci_migrate.reports.junit import JUnitReporter
from ci_migrate.reports.markdown import MarkdownReporter
from ci_migrate.reports.outputs import DotenvReporter
from ci_migrate.reports.reviewdog import ReviewdogReporter
from ci_migrate.reports.sarif import SarifReporter

REPORTERS: tuple[Reporter, ...] = (
    JUnitReporter(),
    JsonReporter(),
    MarkdownReporter(),
    DotenvReporter(),
    CodeQualityReporter(),
    SarifReporter(),
    ReviewdogReporter(),
    HtmlReporter(),
)


@hookimpl
def ci_migrate_reporters() -> Sequence[Reporter]:
    """The built-in reporters."""
    return REPORTERS
