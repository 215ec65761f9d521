from ci_migrate.approval.requester import actors, commit_of, starters


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
