"""SARIF: what GitHub's code scanning wants of it."""

import json

from msgspec.structs import replace

from ci_migrate.model import Finding, Severity
from ci_migrate.reports.sarif import SarifReporter


def run_of(report):
    document = json.loads(SarifReporter().render(report))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    return run


def test_each_result_has_what_github_wants(sample) -> None:
    run = run_of(sample)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert not place["artifactLocation"]["uri"].startswith("/")
        assert place["artifactLocation"]["uri"].isascii()
        assert place["region"]["startLine"] >= 1
    fingerprints = [r["partialFingerprints"]["ciMigrateFinding/v1"] for r in run["results"]]
    assert len(set(fingerprints)) == len(fingerprints)
    bad = sample.first_bad
    assert run["invocations"][0]["exitCode"] == int(sample.exit_code)
    if bad is not None and bad.file and bad.file.isprintable():
        assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == bad.file


def test_what_was_accepted_is_suppressed_with_its_reason(samples) -> None:
    (result,) = run_of(samples.green())["results"]
    assert result["suppressions"] == [{"kind": "external", "justification": "moved to profile in 1b0c"}]


def test_fingerprints_stay_and_paths_start_at_the_repository(samples) -> None:
    def result(line: int, rows: int):
        finding = Finding(
            code="CM201", name="table-dropped", severity=Severity.ERROR, message=f"notes had {rows} rows",
            revision="3f2a", file="versions/3f2a.py", line=line,
        )  # fmt: skip
        green = samples.green()
        found = replace(
            green, folder="services/shop", results=(replace(green.results[0], findings=(finding,)),)
        )
        return run_of(found)["results"][0]

    first, second = result(3, 17), result(90, 18)
    assert first["partialFingerprints"] == second["partialFingerprints"]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "services/shop/versions/3f2a.py"
