"""Jobs in the ledger, on each engine: begun once, ended once, in the order in which they came."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from ledger_support import ledger, on_sqlite, tamper, url

from ci_migrate.errors import LedgerError
from ci_migrate.ledger import jobs
from ci_migrate.ledger.jobs import JobStatus
from ci_migrate.model import canonical_json

__all__ = ["ledger", "tamper", "url"]


def begin(ledger, action="run", target="dev"):
    return jobs.begin(ledger, target=target, action=action, actor="ana", address="127.0.0.1")


def test_a_job_ends_once(ledger):
    job = jobs.begin(ledger, target="dev", action="run", actor="ana", address="127.0.0.1")
    assert jobs.get(ledger, job.job_id, "dev") == job
    assert jobs.get(ledger, job.job_id, "other") is None
    assert jobs.running(ledger, "dev") == (job,)
    stage = {"stage": "check", "outcome": "passed", "seconds": 0.1, "message": "x" * 5000}
    jobs.progress(ledger, job.job_id, [stage])
    (found,) = jobs.get(ledger, job.job_id, "dev").stages
    assert found == {**stage, "message": "x" * 1000}
    answer = {"message": "done \ud800", "findings": ["x" * 1000] * 100, "statement": "y" * 70_000}
    assert jobs.end(ledger, job.job_id, JobStatus.FAILED, 6, answer)
    assert not jobs.end(ledger, job.job_id, JobStatus.FINISHED, 0, {"message": "later"})
    ended = jobs.get(ledger, job.job_id, "dev")
    assert (ended.status, ended.exit_code) == (JobStatus.FAILED, 6)
    assert ended.answer == {"message": "done \\ud800", "statement": "y" * 4000}  # too long for MySQL's TEXT
    assert jobs.running(ledger, "dev") == ()
    assert [j.job_id for j in jobs.latest(ledger, "dev")] == [job.job_id]
    assert ledger.verify_audit() == []


def test_F106_jobs_are_listed_as_they_began_whatever_the_clock_said(ledger, monkeypatch):
    now = ledger.clock()
    for action, jump in (("first", 9), ("second", -3), ("third", 0)):
        monkeypatch.setattr(jobs, "clock", lambda _connection, jump=jump: now + timedelta(hours=jump))
        begin(ledger, action)
    assert [job.action for job in jobs.latest(ledger, "dev")] == ["third", "second", "first"]
    assert [job.action for job in jobs.latest(ledger, "dev", 2)] == ["third", "second"], "the newest two"
    assert [job.action for job in jobs.running(ledger, "dev")] == ["first", "second", "third"]


def test_each_target_has_its_own_jobs_in_one_ledger(ledger):
    here, there = begin(ledger), begin(ledger, target="dev2")
    assert [jobs.latest(ledger, name) for name in ("dev", "dev2", "de", "")] == [(here,), (there,), (), ()]
    jobs.end(ledger, here.job_id, JobStatus.FINISHED, 0, {})
    assert (jobs.running(ledger, "dev"), jobs.running(ledger, "dev2")) == ((), (there,))


def test_of_several_who_write_how_it_ended_one_counts(ledger):
    """The process that did it, and the service that thinks it died."""
    job = begin(ledger)
    with ThreadPoolExecutor(4) as pool:
        ended = list(
            pool.map(lambda n: jobs.end(ledger, job.job_id, JobStatus.FAILED, n, {"n": n}), range(1, 5))
        )
    assert sorted(ended) == [False, False, False, True]
    found = jobs.get(ledger, job.job_id, "dev")
    assert found.exit_code == found.answer["n"] == ended.index(True) + 1
    assert [r.kind for r in ledger.audit_records()] == ["job started", "job ended"]


def test_what_comes_after_the_end_changes_nothing(ledger):
    job = begin(ledger)
    jobs.end(ledger, job.job_id, JobStatus.FINISHED, 0, {"message": "ended"})
    before = jobs.get(ledger, job.job_id, "dev")
    jobs.progress(ledger, job.job_id, [{"stage": "late", "message": ""}])
    jobs.progress(ledger, "job_nobody", [{"stage": "late", "message": ""}])
    assert not jobs.end(ledger, "job_nobody", JobStatus.FINISHED, 0, {})
    assert jobs.get(ledger, job.job_id, "dev") == before
    assert jobs.get(ledger, "job_nobody", "dev") is None


@pytest.mark.parametrize("text", ["", "Größe 🚚", "a\x00b", "\udce9", 'it\'s \\ "quoted"'])
def test_every_text_comes_back_readable(ledger, text):
    job = begin(ledger)
    jobs.progress(ledger, job.job_id, [{"stage": "check", "message": text}])
    jobs.end(ledger, job.job_id, JobStatus.FAILED, 1, {"message": text, "findings": [text]})
    found = jobs.get(ledger, job.job_id, "dev")
    kept = text.encode(errors="backslashreplace").decode()
    assert (found.stages[0]["message"], found.answer) == (kept, {"message": kept, "findings": [kept]})


def test_an_answer_may_fill_its_limit_and_of_a_longer_one_the_words_stay(ledger):
    empty = len(b'{"findings":[],"message":"m"}')
    for extra, kept in ((0, ["findings", "message"]), (1, ["message"])):
        job = begin(ledger)
        rows = ["x" * (jobs.ANSWER_LIMIT - empty - 2 + extra)]
        jobs.end(ledger, job.job_id, JobStatus.FAILED, 1, {"message": "m", "findings": rows})
        assert sorted(jobs.get(ledger, job.job_id, "dev").answer) == kept


@pytest.mark.parametrize("letter", ["🚚", "\x1b"])
def test_messages_of_many_bytes_a_character_fit_too(ledger, letter):
    """MySQL's TEXT counts bytes, and JSON writes six of them for a control character: no job may be left running."""
    job = begin(ledger)
    stages = [{"stage": f"s{n}", "outcome": "failed", "message": letter * 5000} for n in range(7)]
    jobs.progress(ledger, job.job_id, stages)
    answer = {f"k{n}": letter * 9000 for n in range(9)}
    assert jobs.end(ledger, job.job_id, JobStatus.FAILED, 1, answer)
    found = jobs.get(ledger, job.job_id, "dev")
    assert [stage["message"] for stage in found.stages] == [letter * jobs.MESSAGE_LIMIT] * 7
    assert all(text.startswith(letter * 100) for text in found.answer.values())


def test_a_job_is_begun_with_its_record_or_not_at_all(ledger, tamper):
    job = begin(ledger)
    (record,) = ledger.audit_records()
    assert record.facts == {"jobId": job.job_id, "action": "run", "actor": "ana", "address": "127.0.0.1"}
    assert abs(job.started - ledger.clock()) < timedelta(seconds=30), "by the ledger's clock"
    tamper("UPDATE ci_migrate_audit_head SET records = 0")  # the next record has a number that is taken
    with pytest.raises(LedgerError):
        begin(ledger)
    assert jobs.latest(ledger, "dev") == (job,)


@on_sqlite
def test_the_end_is_in_the_trail_with_its_code(ledger):
    job = begin(ledger)
    jobs.end(ledger, job.job_id, JobStatus.INTERRUPTED, 130, {"message": "stopped"})
    found = jobs.get(ledger, job.job_id, "dev")
    assert (found.status, found.exit_code) == (JobStatus.INTERRUPTED, 130)
    assert found.started <= found.finished <= ledger.clock()
    assert ledger.audit_records()[-1].facts == {
        "jobId": job.job_id, "status": "interrupted", "exitCode": 130,
    }  # fmt: skip


@on_sqlite
def test_ids_of_jobs_differ_within_a_second(ledger):
    made = [begin(ledger).job_id for _ in range(20)]
    assert len(set(made)) == 20
    assert all(re.fullmatch(r"job_\d{14}_[0-9a-f]{12}", job_id) for job_id in made), (
        "which routes take as an id"
    )


@on_sqlite
def test_the_stages_are_those_that_were_written_last(ledger):
    job = begin(ledger)
    for count in (1, 3, 2):
        jobs.progress(ledger, job.job_id, [{"stage": f"s{n}"} for n in range(count)])
    assert [s["stage"] for s in jobs.get(ledger, job.job_id, "dev").stages] == ["s0", "s1"]
    jobs.progress(ledger, job.job_id, [])
    assert jobs.get(ledger, job.job_id, "dev").stages == ()


@on_sqlite
def test_an_answer_of_a_thousand_long_words_is_cut_to_what_fits(ledger):
    job = begin(ledger)
    answer = {f"key{n}": "\x1b" * 5000 for n in range(1000)}
    assert jobs.end(ledger, job.job_id, JobStatus.FAILED, 1, answer)
    found = jobs.get(ledger, job.job_id, "dev").answer
    assert set(found) == set(answer)
    assert len(canonical_json(found)) <= jobs.ANSWER_LIMIT


@on_sqlite
def test_numbers_and_nothing_stay_where_lists_had_to_go(ledger):
    job = begin(ledger)
    answer = {"exitCode": 7, "runId": None, "ok": False, "rows": ["x" * 70_000], "deep": {"x": "y" * 70_000}}
    jobs.end(ledger, job.job_id, JobStatus.FAILED, 7, answer)
    assert jobs.get(ledger, job.job_id, "dev").answer == {"exitCode": 7, "runId": None, "ok": False}
