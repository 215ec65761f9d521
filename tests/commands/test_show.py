"""What a run leaves in the project's folder, and `ci-migrate show`: the report of a run again."""

import json
import os
import re
import subprocess
from xml.etree import ElementTree as ET

from alembic_project import ended

from ci_migrate.commands.reports import KEPT, keep_run, kept_runs
from ci_migrate.model import Report, now


def files(project) -> list[str]:
    own = project.folder / ".ci-migrate"
    return sorted(p.relative_to(own).parts[0] for p in own.rglob("*") if p.is_file())


def test_F82_plan_writes_nothing(alembic_project):
    before = sorted(alembic_project.folder.iterdir())
    ended(alembic_project.call("plan"), 0)
    assert sorted(alembic_project.folder.iterdir()) == before
    ended(alembic_project.call("plan", "--report", "json=plan.json"), 0)
    assert json.loads((alembic_project.folder / "plan.json").read_text())["exitCode"] == 0


def test_F82_all_that_a_run_leaves_ignores_itself(alembic_project):
    subprocess.run(["git", "init", "-q", alembic_project.folder], check=True)
    ended(alembic_project.call("run"), 0)
    assert {".gitignore", "backups", "reports", "runs"} == set(files(alembic_project))
    status = ["git", "-C", alembic_project.folder, "status", "--porcelain", "-uall"]
    seen = subprocess.run(status, check=True, capture_output=True, text=True).stdout
    assert ".ci-migrate/" not in seen


def test_F82_a_mistyped_command_takes_no_report_away(alembic_project):
    first = alembic_project.call("run")
    report = (alembic_project.reports / "report.json").read_bytes()
    for arguments in (("run", "--target", "nowhere"), ("run", "--nonsense"), ("run", "--report", "pdf=x")):
        ended(alembic_project.call(*arguments), 2)
        assert (alembic_project.reports / "report.json").read_bytes() == report
    assert first.report["command"] == "run"


def test_F82_an_older_run_is_shown_in_each_format(alembic_project):
    ended(alembic_project.call("show"), 2, "No run has left a report here.")
    ended(alembic_project.call("run", "r1"), 0)
    alembic_project.revision("r3", "r2", "drop table nowhere")
    ended(alembic_project.call("run"), 1)
    last, first = (line.split()[0] for line in alembic_project.call("show", "--list").out.splitlines())

    shown = ended(alembic_project.call("show"), 0, "no such table: nowhere")
    assert shown.splitlines()[-1] == "REFUSED (exit 1). The database is untouched, still at r1."
    assert "  FAILED   dry-run" in shown
    assert "now at r1" in ended(alembic_project.call("show", first), 0)
    ended(alembic_project.call("show", "2"), 2, "2 runs begin with 2", f"ci-migrate show {last}")
    ended(alembic_project.call("show", "nonsense"), 2, "There is no report of a run nonsense here.")

    whole = json.loads(alembic_project.call("show", last, "--format", "json").out)
    assert (whole["exitCode"], whole["report"]["runId"]) == (1, last)
    assert [one["command"] for one in whole["next"]] == ["ci-migrate dry-run --target dev"]
    assert ET.fromstring(alembic_project.call("show", "--format", "junit").out).tag == "testsuites"
    for name, word in (("markdown", "REFUSED"), ("sarif", "2.1.0"), ("dotenv", "MIGRATION_EXIT_CODE=1")):
        assert word in alembic_project.call("show", "--format", name).out
    ended(alembic_project.call("show", first, "--format", "html", "--out", "first.html"), 0)
    assert (
        "now at <code>r1" in (alembic_project.folder / "first.html").read_text()
        or "now at r1" in (alembic_project.folder / "first.html").read_text()
    )
    assert alembic_project.heads == ["r1"]


def test_F82_what_an_earlier_version_left_is_named(alembic_project):
    ended(
        alembic_project.call("run", "r1", "--backup-dir", "backups", "--report-dir", "ci-migrate-reports"), 0
    )
    old, new = alembic_project.folder / "backups", alembic_project.folder / ".ci-migrate" / "backups"
    (backup,) = (path.name for path in old.glob("backup_*"))
    ended(alembic_project.call("backup", "list"), 0, backup)
    done = alembic_project.call("run")
    ended(
        done, 0, "holds backups of an earlier version", "mv ", "holds reports of an earlier version", "rm -r"
    )
    assert len(list(old.glob("backup_*"))) == 2, "new ones lie beside those that are there"
    ended(alembic_project.call("backup", "restore", backup, "--yes"), 0)
    assert alembic_project.heads == []
    command = re.search(r"mkdir -p .*?/\*\s+\S+", " ".join(done.text.split()))[0]
    subprocess.run(command, shell=True, check=True)
    assert not list(old.glob("backup_*"))
    assert (new / backup).is_dir()
    ended(alembic_project.call("backup", "list"), 0, backup)
    (alembic_project.folder / "ci-migrate-reports" / "report.json").unlink()
    quiet = alembic_project.call("run", "--backup-dir", "backups")
    assert "earlier version" not in quiet.text, "who named the place knows it"


def kept(folder, *ids: str) -> list[str]:
    """Reports of runs with these ids, written one after the other; as they are listed."""
    folder.mkdir(exist_ok=True)
    for number, run_id in enumerate(ids, 1):
        path = folder / f"{run_id}.json"
        path.write_text("{}")
        os.utime(path, ns=(number, number))
    return [path.stem for path in kept_runs(folder)]


def test_of_two_runs_in_one_second_the_later_is_the_newer_whatever_their_random_ends(tmp_path):
    assert kept(tmp_path, "20261129112800_ff", "20261129112800_00", "20261129112759_aa") == [
        "20261129112800_00", "20261129112800_ff", "20261129112759_aa",
    ]  # fmt: skip
    assert kept(tmp_path / "none") == []


def test_the_oldest_reports_go_and_those_of_other_commands_folders_stay(tmp_path):
    reports = tmp_path / "reports"
    reports.mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("somebody's own")
    ids = [f"202611291128{n // 10:02d}_{9 - n % 10}" for n in range(KEPT + 5)]
    kept(tmp_path / "runs", *ids)
    report = Report(run_id="20261129112899_new", command="run", target="dev", started=now(), version="1")
    assert keep_run(report, reports, {"report_dir": None}) == []
    left = [path.stem for path in kept_runs(tmp_path / "runs")]
    assert left == ["20261129112899_new", *reversed(ids[6:])]
    assert (tmp_path / "runs" / "notes.txt").exists()
    assert keep_run(report, tmp_path / "out", {"report_dir": "elsewhere"}) == [], "that is the caller's own"
