import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from ci_migrate.reports import json_report
from ci_migrate.reports.clean import clean_report
from ci_migrate.reports.json_report import JsonReport, JsonReporter

PUBLISHED = Path(__file__).parents[2] / "docs" / "report.schema.json"
REFRESH = (
    "the schema changed; if that is meant: python -c 'from ci_migrate.reports.json_report import schema; "
    'open("docs/report.schema.json", "wb").write(schema())\''
)


def test_golden(same_as_golden, samples):
    # one is enough: the schema and reading back hold the others, and each new field changes all of them
    same_as_golden("green.json", JsonReporter().render(samples.green()))


def test_the_published_schema_is_the_one_of_the_code():
    assert PUBLISHED.read_bytes() == json_report.schema(), REFRESH


def test_reports_fit_the_published_schema(sample):
    schema = json.loads(PUBLISHED.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(JsonReporter().render(sample)), schema)


def test_the_schema_refuses_another_document(samples):
    document = json.loads(JsonReporter().render(samples.green()))
    document["report"]["results"][0]["outcome"] = "great"
    with pytest.raises(jsonschema.ValidationError, match="great"):
        jsonschema.validate(document, json.loads(PUBLISHED.read_bytes()))


def test_what_a_script_asks_first_stands_at_the_top(samples):
    document = json.loads(JsonReporter().render(samples.refused()))
    first = ["format", "exitCode", "state", "planDigest", "next", "failure", "findings", "report"]
    assert list(document) == first
    assert document["exitCode"] == 1
    assert document["state"] == "untouched"
    assert document["planDigest"] == samples.plan().digest
    assert [finding["code"] for finding in document["findings"]] == ["CM201", "CM201", "CM401"]


def test_the_report_can_be_read_back(sample):
    assert msgspec.json.decode(JsonReporter().render(sample), type=JsonReport).report == clean_report(sample)
