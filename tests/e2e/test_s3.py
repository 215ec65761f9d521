"""The whole gate with its backups in a bucket."""

import json
from pathlib import Path

import pytest
import s3_support


@pytest.fixture(scope="module")
def endpoint():
    with s3_support.s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def run(endpoint, alembic_project, monkeypatch: pytest.MonkeyPatch):
    """Runs a command of a project whose backups go to a bucket; nothing that it says or writes holds the key."""
    s3_support.use(endpoint, monkeypatch)
    bucket = s3_support.new_bucket()
    alembic_project.settings(f'backup-dir = "s3://{bucket}/shop"\n[targets.dev]\nurl = "sqlite:///app.db"\n')

    def command(*arguments: str, code: int = 0):
        done = alembic_project.run(*arguments, env=s3_support.environment(endpoint))
        assert done.code == code, done.text
        assert s3_support.SECRET not in done.text
        assert "Traceback" not in done.text
        return done

    yield command
    assert s3_support.SECRET.encode() not in alembic_project.everything()
    for key in s3_support.keys(bucket):
        stored = s3_support.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        assert s3_support.SECRET.encode() not in stored


def test_S1_run_restore_copy_and_delete(run, alembic_project, tmp_path: Path):
    run("run")
    (backup,) = json.loads(run("backup", "list", "--json").out)
    name = backup["backupId"]
    assert backup["backupPath"].startswith("s3://")
    run("backup", "verify", name)
    run("backup", "verify", name, "--restore")
    copied = run("backup", "copy", name, str(tmp_path / "copies"))
    assert str(tmp_path / "copies" / name) in copied.out
    run("backup", "verify", name, "--backup-dir", str(tmp_path / "copies"))
    assert "already" in run("backup", "copy", name, str(tmp_path / "copies"), code=1).text
    migrated = alembic_project.dump()
    run("backup", "restore", name, "--yes", "--no-safety-backup")
    assert alembic_project.dump() != migrated
    assert "Would delete" in run("backup", "delete", name).text
    assert name in run("backup", "list").text
    run("backup", "delete", name, "--yes")
    assert "No backups" in run("backup", "list").text
    run("backup", "restore", name, "--yes", "--backup-dir", str(tmp_path / "copies"))


def test_S1_a_bucket_that_is_not_there(run, alembic_project):
    done = run("run", "--backup-dir", "s3://not-there/x", code=8)
    assert "no such bucket" in done.text
    assert not alembic_project.database.exists()
    done = run("backup", "copy", "backup_x_20260101_000000", f"s3://KEY:{s3_support.SECRET}@bucket/x", code=2)
    assert "KEY" not in done.text.replace("AWS_ACCESS_KEY_ID", "")
