import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ci_migrate.model import Finding, Outcome, RowCount, SchemaChange, Severity, StageResult
from ci_migrate.reports.markdown import LIMIT, MarkdownReporter, block, cell_code, code, escape


def render(report) -> str:
    return MarkdownReporter().render(report)


def test_golden(same_as_golden, sample, sample_name):
    same_as_golden(f"{sample_name}.md", render(sample))


@pytest.mark.parametrize(
    ("foreign", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("<img src=x>", r"\<img src=x>"),
        ("&lt;", r"\&lt;"),
        ("*a* [b](c) ~d~ $e$ \\", r"\*a\* \[b\](c) \~d\~ \$e\$ \\"),
        ("ix_users_email", "ix_users_email"),
        ("_a_", r"\_a\_"),
        ("@team", "@&#8203;team"),
        ("two\nlines\r\n# head", "two lines # head"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
    ],
)
def test_foreign_text_is_no_markup(foreign, escaped):
    assert escape(foreign) == escaped


def test_code_spans_and_blocks_hold_backticks():
    assert code("a") == "`a`"
    assert code("a `b`` c") == "```a `b`` c```"
    assert code("`a`") == "`` `a` ``"
    assert code("") == ""
    assert cell_code("a|b") == r"`a\|b`"
    assert block("a\n````\nb", "sh") == "`````sh\na\n````\nb\n`````"


def test_a_table_row_stays_one_row(samples):
    lines = render(samples.hostile()).splitlines()
    stages = lines.index("### Stages")
    rows = [line for line in lines[stages + 2 : stages + 9] if line]
    assert len(rows) == 7  # head, rule, five stages
    assert {len(row.replace("\\|", "").split("|")) for row in rows} == {5}


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_text_keeps_the_sections(samples, text):
    rendered = render(samples.hostile(text))
    rendered.encode()
    titles = [line for line in rendered.split("\n") if line.startswith("### ")]
    assert {"### Why", "### Findings", "### Stages", "### Proved", "### Plan"} <= set(titles)
    assert rendered.count("\n## ") == 1
    assert rendered.startswith("<!-- ci-migrate: ")
    assert rendered.split("\n")[0].count(">") == 1


def test_the_state_and_the_reason_come_first(samples):
    text = render(samples.dirty())
    order = [
        "## ❌ FAILED",
        "left as the migration left it",
        "9c1d_unique_email.py:16",
        "### Next",
        "repair --forward",
        "### Stages",
    ]
    positions = [text.index(part) for part in order]
    assert positions == sorted(positions)


def test_huge_reports_fit_into_a_comment(samples):
    long = "grüße | `x` @you " * 50
    findings = tuple(
        Finding(
            code=f"CM{i % 999:03}", name=long, severity=Severity.ERROR, message=long, revision=f"{i:012x}"
        )
        for i in range(5000)
    )
    evidence = samples.evidence(
        changes=tuple(SchemaChange(name=f"table t{i}", before=long, after=long + "x") for i in range(5000)),
        row_counts_before={f"t{i}": RowCount(rows=i) for i in range(5000)},
        row_counts_after={},
    )
    check = StageResult(
        stage="check", outcome=Outcome.FAILED, message=long, details="`" * 5_000_000, findings=findings,
        plan=samples.plan(), evidence=evidence,
    )  # fmt: skip
    report = replace(samples.report(check), warnings=(long,) * 5000)
    text = render(report)
    assert len(text) <= LIMIT
    assert "4,9" in text
    assert "more, all in `report.json`." in text
