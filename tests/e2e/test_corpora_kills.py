"""Real histories, killed: only what `status` names is typed, then the run again; the end is that of an undisturbed run."""

import json
from pathlib import Path

import pytest
from corpora_support import (
    CASES,
    COPIES,
    MIGRATED,
    Case,
    as_plain_user,
    bring_to_start,
    fresh_database,
    gate,
    install,
    prepare,
    sqlite_url,
)

pytest.importorskip("fcntl")

SCRIPT = (str(Path(__file__).parents[1] / "support" / "gate_with_faults.py"),)
POINTS = {"first": 0.0, "early": 0.25, "middle": 0.5, "late": 0.75, "last": 1.0}
PLAYED = [case for case in CASES if case.outcome == MIGRATED]


@pytest.mark.parametrize(
    ("case", "point"),
    [pytest.param(c, p, id=f"{c.id}-{p}", marks=pytest.mark.long) for c in PLAYED for p in POINTS],
)
def test_M1_a_real_history_that_is_killed(case: Case, point: str, tmp_path, request) -> None:
    url, tools = sqlite_url(tmp_path), None
    if case.backend == "postgresql":
        tools = request.getfixturevalue("postgresql_server").binaries
        url = as_plain_user(request.getfixturevalue("postgresql_url"))
    elif case.backend != "sqlite":
        url = as_plain_user(fresh_database(request.getfixturevalue(f"{case.backend}_server").admin_url))
    install(case.corpus)
    project = prepare(case, tmp_path / "project", url, tools)
    bring_to_start(case, project)
    twin = prepare(case, tmp_path / "twin", COPIES[case.backend](url), tools)
    run = ["run", "--to", project.facts["target"], *(w for f in case.allow for w in ("--allow", f))]
    events = tmp_path / "events"
    undisturbed = gate(twin, *run, client_tools=tools, program=SCRIPT, FAULT_EVENTS=str(events))
    assert undisturbed.returncode == 0, undisturbed.stdout
    count = len(events.read_text().splitlines())
    number = 1 + round((count - 2) * POINTS[point])  # the last one is the news that it is finished
    fault = {"FAULT": f"both:after:{number}", "FAULT_STRUCK": str(tmp_path / "struck")}
    killed = gate(project, *run, client_tools=tools, program=SCRIPT, **fault)
    assert killed.returncode == -9, killed.stdout + killed.stderr
    typed = []
    for _ in range(3):
        told = json.loads(gate(project, "status", "--json", client_tools=tools).stdout)
        if told["unfinished"] is None:
            break
        typed.append(told["next"].split()[1:])
        sure = ["--yes"] if typed[-1][:2] == ["backup", "restore"] else []
        done = gate(project, *typed[-1], *sure, client_tools=tools)
        assert done.returncode in (0, 7), done.stdout  # 7: a prefix is kept
    else:
        # rows made anew in each run (keys, times), committed one by one: nobody can tell which of them are there
        found = json.loads(gate(project, "backup", "list", "--json", client_tools=tools).stdout)
        newest = max(found, key=lambda backup: backup["backupTime"])["backupId"]
        typed.append(["backup", "restore", newest, "--yes"])
        assert gate(project, *typed[-1], client_tools=tools).returncode == 0
        assert gate(project, "repair", client_tools=tools).returncode == 0
    again = gate(project, *run, client_tools=tools)
    assert again.returncode == 0, f"{typed} {again.stdout}"
    ours, theirs = project.snapshot(), twin.snapshot()
    assert (ours.heads, ours.counts) == (theirs.heads, theirs.counts), typed
    assert ours.schema == theirs.schema, typed
