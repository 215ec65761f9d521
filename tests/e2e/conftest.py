"""The table of kills at the end of a run."""

from collections import Counter


def pytest_terminal_summary(terminalreporter) -> None:
    """What was found after kills, and whether all of them ended in a proved state."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    kills = [
        (*value, report.passed)
        for report in reports
        for name, value in report.user_properties
        if name == "kill" and report.when == "call"
    ]
    if not kills:
        return
    found = sorted({words for _, _, words, _ in kills})
    terminalreporter.section("kill -9: what was found, and whether it was recovered")
    terminalreporter.write_line(f"{'way':24} {'killed':8} {'points':>7} {'recovered':>10}  found")
    for way, who in sorted({(way, who) for way, who, _, _ in kills}):
        rows = [k for k in kills if k[:2] == [way, who] or k[:2] == (way, who)]
        counts = Counter(words for _, _, words, _ in rows)
        words = ", ".join(f"{name}: {counts[name]}" for name in found if counts[name])
        recovered = sum(passed for *_, passed in rows)
        terminalreporter.write_line(f"{way:24} {who:8} {len(rows):7} {recovered:10}  {words}")
