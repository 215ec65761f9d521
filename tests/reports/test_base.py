import os
import stat

import pytest

from ci_migrate.reports.base import Reporter, write
from ci_migrate.reports.built_in import REPORTERS


def test_write_makes_folders_and_replaces_what_is_there(tmp_path):
    path = tmp_path / "a" / "b" / "junit.xml"
    write(path, "old")
    write(path, "grüße\n")
    assert path.read_bytes() == "grüße\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["junit.xml"]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    path = tmp_path / "junit.xml"
    path.mkdir()
    with pytest.raises(OSError, match=r"junit\.xml"):
        write(path, "text")
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_that_cannot_be_encoded_is_written_all_the_same(tmp_path):
    write(tmp_path / "x", "a\udc80b")
    assert (tmp_path / "x").read_text() == "a?b"


def test_formats_and_files_are_unique():
    assert all(isinstance(reporter, Reporter) for reporter in REPORTERS)
    assert [(r.format, r.file) for r in REPORTERS] == [
        ("junit", "junit.xml"),
        ("json", "report.json"),
        ("markdown", "summary.md"),
        ("dotenv", "ci-migrate.env"),
        ("codequality", "codequality.json"),
        ("sarif", "report.sarif"),
        ("rdjson", "suggestions.json"),
        ("html", "report.html"),
    ]


def test_the_same_report_gives_the_same_text(samples, sample_name):
    for reporter in REPORTERS:
        assert reporter.render(samples.ALL[sample_name]()) == reporter.render(samples.ALL[sample_name]())


def test_F34_no_other_user_may_write_a_report_or_its_folder(tmp_path):
    before = os.umask(0)
    try:
        write(tmp_path / "a" / "b" / "report.json", "x")
    finally:
        os.umask(before)
    modes = [
        stat.S_IMODE(p.stat().st_mode)
        for p in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "report.json")
    ]
    assert modes == [0o755, 0o755, 0o644]
