import pytest

from ci_migrate.approval.requester import actors, commit_of, in_ci, starters


def test_who_is_asking():
    github = {"GITHUB_ACTOR": "Ana", "GITHUB_TRIGGERING_ACTOR": "bot", "GITLAB_USER_LOGIN": " "}
    assert actors(github) == {"ana", "bot"}
    assert actors({"GITLAB_USER_LOGIN": "ana", "GITLAB_USER_EMAIL": "A@example.com"}) == {
        "ana",
        "a@example.com",
    }
    assert actors({}) == frozenset()


def test_the_commit_is_what_the_ci_says():
    assert commit_of({"GITHUB_SHA": "a" * 40, "CI_COMMIT_SHA": "b" * 40}) == "a" * 40
    assert commit_of({"CI_COMMIT_SHA": "b" * 40}) == "b" * 40
    assert commit_of({"GITHUB_SHA": ""}) is None


def test_who_starts_is_not_known_in_a_ci_that_does_not_tell():
    assert starters({"CI": "true"}) == starters({"JENKINS_URL": "https://ci.example.org/"}) == frozenset()
    assert starters({"CI": "true", "CI_MIGRATE_ACTOR": "Ana"}) == {"ana"}
    assert starters({})  # the user of this machine


@pytest.mark.parametrize(
    ("environ", "job"),
    [
        ({}, False), ({"CI": ""}, False), ({"CI": "false"}, False), ({"CI": "0"}, False), ({"CI": "true"}, True),
        ({"JENKINS_URL": "http://x"}, True), ({"TF_BUILD": "True"}, True), ({"GITLAB_CI": "1"}, True),
    ],
)  # fmt: skip
def test_what_is_a_job_of_a_ci(environ, job):
    assert in_ci(environ) is job


def test_all_names_of_who_started_it_count_however_they_are_written():
    environ = {
        "GITHUB_ACTOR": " Ana ",
        "GITHUB_TRIGGERING_ACTOR": "BEN",
        "GITLAB_USER_EMAIL": "",
        "GITLAB_USER_NAME": "ß",
    }
    assert actors(environ) == {"ana", "ben", "ss"}
    assert actors({}) == frozenset()


def test_on_a_machine_that_is_no_ci_its_user_started_it(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "Root")
    assert starters({}) == {"root"}
    assert starters({"CI_MIGRATE_ACTOR": "ana"}) == {"ana"}, "as the service says"
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("uid 4711")))
    assert starters({}) == frozenset(), "a container whose user has no name"
