"""A service that is killed, or what works for it: found again, told, mended."""

import os
import signal

import pytest
from alembic_project import new_project
from http_service import ROLES, WAITS, descendants, make_key, served, wait_for


@pytest.mark.parametrize(
    "dies",
    [
        "both",
        pytest.param("service", marks=pytest.mark.long),
        pytest.param("child", marks=pytest.mark.long),
    ],
)
def test_what_is_killed_during_a_migration_is_found_and_mended(tmp_path, dies):
    project = new_project(tmp_path)
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate").exit_code == 0
    project.revision("r3", "r2", WAITS)
    before = project.dump()
    keys = {("dev", role): make_key(project, role, role, "dev") for role in ROLES[-1:]}
    with served(project, keys) as service:
        started = service.call("POST", "/migrate-with-backup", headers={"Prefer": "respond-async"})
        assert started.status_code == 202
        wait_for((project.folder / "reached").exists, "the migration never came to its middle")
        stages = service.good("GET", f"/jobs/{started.json()['jobId']}")["stages"]
        assert [s["stage"] for s in stages] == ["check", "backup", "dry-run", "approve"]
        assert service.refused(423, "POST", "/backup/create")["exitCode"] == 5
        ours = descendants(service.process.pid)
        assert ours
        for pid in (
            *([service.process.pid] if dies != "child" else []),
            *(ours if dies != "service" else []),
        ):
            os.kill(pid, signal.SIGKILL)
        if dies == "child":
            told_of(service, started.json()["jobId"], project, before)
    if dies == "child":
        return
    with served(project, keys) as service:
        if dies == "both":
            told_of(service, started.json()["jobId"], project, before)
            return
        assert service.good("GET", f"/jobs/{started.json()['jobId']}")["status"] == "running"
        (project.folder / "go").touch()  # the orphan goes on, and writes itself how it ended
        job = ended(service, started.json()["jobId"])
        assert (job["status"], job["exitCode"]) == ("finished", 0)
        assert project.heads == ["r3"]


def ended(service, job_id: str) -> dict:
    def job() -> dict | None:
        found = service.good("GET", f"/jobs/{job_id}")
        return None if found["status"] == "running" else found

    return wait_for(job, "the job never ended")


def told_of(service, job_id: str, project, before: list[str]) -> None:
    """The job is interrupted, its target is as it was."""
    job = ended(service, job_id)
    assert (job["status"], job["exitCode"]) == ("interrupted", 6), job
    assert "ci-migrate repair was run" in job["message"]
    assert project.dump() == before
    event = service.call("GET", f"/jobs/{job_id}/events").text
    assert event.startswith("event: interrupted\ndata: {")
