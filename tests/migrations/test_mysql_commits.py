"""MySQL and MariaDB: when something is committed, as the drivers let one see it."""

from env_zoo import initialised, url_of


def test_the_first_version_row_is_committed_with_its_transaction(request, tmp_path):
    """INSERT ... RETURNING: after rows PyMySQL keeps the server's status of before the statement."""
    zoo = initialised(tmp_path, url_of(request, tmp_path, "mysql"), "generic")
    report = zoo.gate("run").report
    evidence = next(s["evidence"] for s in report["results"] if s["stage"] == "dry-run")
    assert any("RETURNING" in s["sql"] for s in evidence["statements"]), "else it tells nothing"
    complete = {r["revision"]: r["heads"] for r in evidence["rungs"] if r["complete"] and r["revision"]}
    assert complete == {"r1": [["r1"]], "r2": [["r2"]]}
