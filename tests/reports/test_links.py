"""Findings lead to their pages as soon as the project has an address, and nowhere before."""

import json

import pytest

from ci_migrate.reports import links
from ci_migrate.reports.html import HtmlReporter
from ci_migrate.reports.markdown import MarkdownReporter
from ci_migrate.reports.sarif import SarifReporter
from ci_migrate.testing.projects import make_project

NO_DOWNGRADE = "op.execute('CREATE TABLE users (id INTEGER PRIMARY KEY)')"


@pytest.fixture
def address(monkeypatch):
    """Sets what the package's metadata names."""

    class Metadata:
        def __init__(self):
            self.named = []

        def get_all(self, name):
            assert name == "Project-URL"
            return self.named

    found = Metadata()
    monkeypatch.setattr(links, "metadata", lambda name: found)
    links.documentation.cache_clear()
    yield lambda url: found.named.append(f"Documentation, {url}")
    links.documentation.cache_clear()


@pytest.mark.parametrize("url", ["https://ci-migrate.example/", "https://docs.example", "", "no address"])
def test_a_placeholder_is_no_link(address, url):
    address(url)
    assert links.page_of("CM202") == ""


def test_a_code_of_a_plugin_has_no_page(address):
    address("https://docs.shop.test/gate")
    assert links.page_of("CM202") == "https://docs.shop.test/gate/checks/CM202/"
    assert links.page_of("SHOP001") == links.page_of("X-names") == ""


def test_an_error_has_its_section(address):
    address("https://docs.shop.test/gate")
    assert links.page_of("locked") == "https://docs.shop.test/gate/errors/#locked"
    assert links.page_of("dry-run-failed") == "https://docs.shop.test/gate/errors/#dry-run-failed"
    assert links.page_of("no code") == ""


def test_reports_link_findings(address, tmp_path):
    address("https://docs.shop.test/")
    report = make_project(tmp_path, {"users": NO_DOWNGRADE}).gate("check")
    page = "https://docs.shop.test/checks/CM401/"
    assert "CM401" in {finding.code for finding in report.findings}
    rules = json.loads(SarifReporter().render(report))["runs"][0]["tool"]["driver"]["rules"]
    assert page in {rule.get("helpUri") for rule in rules}
    assert f"]({page})" in MarkdownReporter().render(report)
    assert f'<a href="{page}">' in HtmlReporter().render(report)
