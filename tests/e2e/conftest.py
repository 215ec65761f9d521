"""The table of kills at the end of a run."""

from collections import Counter


def pytest_terminal_summary(terminalreporter) -> None:
    """What was found after kills, what was typed, and whether it led to the end of an undisturbed run."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    values = [
        (name, value)
        for report in reports
        for name, value in report.user_properties
        if name in ("kill", "plain kill") and report.when == "call"
    ]
    if not values:
        return
    kills = [tuple(value) for name, value in values if name == "kill"]
    plain = [tuple(value) for name, value in values if name == "plain kill"]
    write = terminalreporter.write_line
    terminalreporter.section("kill -9: what was found, what was typed, and whether it was recovered")
    write(f"{'way':33} {'killed':8} {'points':>7} {'recovered':>10} {'exit 7':>7}  found, typed")
    for way, who in sorted({kill[:2] for kill in kills}):
        rows = [kill for kill in kills if kill[:2] == (way, who)]
        words = ", ".join(
            f"{found}: {number}" for found, number in Counter(kill[2] for kill in rows).most_common()
        )
        recovered, dirty = sum(kill[3] for kill in rows), sum(kill[4] for kill in rows)
        write(f"{way:33} {who:8} {len(rows):7} {recovered:10} {dirty:7}  {words}")
    for way in sorted({way for way, _ in plain}):
        words = Counter(how for name, how in plain if name == way)
        total = sum(words.values())
        write(
            f"{way:33} {'Alembic':8} {total:7} {words['recovered']:10} {'':7}  "
            f"plain `alembic upgrade head`, run again; error: {words['error']}, wrong and exit 0: {words['wrong']}"
        )
