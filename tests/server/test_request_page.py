"""Who approves on the page sees what: for each kind of intent, in words and as the document that is signed."""

import html
import json
import os
import re
from urllib.parse import parse_qs, urlencode

import pytest
from alembic_project import new_project
from http_service import Served, served_here
from signing_support import Approver

SETTINGS = 'backup-dir = "./backups"\n[targets.shop]\nurl = "sqlite:///app.db"\nscratch = "server"\n'
PICTURES = os.environ.get("TEST_PICTURES")
"""A folder for what the browser shows, to be looked at."""

ROLES = {("shop", "olga"): "operator", ("shop", "ana"): "approver", ("shop", "vic"): "viewer"}


class Person:
    """Somebody in front of the page."""

    def __init__(self, service: Served, name: str) -> None:
        self.service = service
        service.client.cookies.clear()
        answer = self.send("/login", key=service.keys["shop", name])
        assert answer.headers["location"] == "/ui/"

    def send(self, path: str, method: str = "POST", **fields: str):
        return self.service.client.request(method, f"{self.service.url}/ui{path}", data=fields or None)

    def look(self, path: str = "/", status: int = 200) -> str:
        answer = self.send(path, "GET")
        assert answer.status_code == status, answer.text
        assert "Traceback" not in answer.text
        return html.unescape(answer.text)

    def form(self, path: str) -> dict[str, str]:
        return dict(re.findall(r'name="(csrf|plan|run)" value="([^"]*)"', self.look(path)))


def shop(tmp_path, *rules: str):
    """A protected target with three backups, at r2; `olga` asks, `ana` approves."""
    (tmp_path / "shop").mkdir()
    project = new_project(tmp_path / "shop")
    project.settings(SETTINGS)
    for arguments in (("migrate", "--to", "r1"), ("backup", "create"), ("migrate",)):
        assert project.call(*arguments).code == 0
    project.sql("insert into users (name) values ('Ben')")
    done = project.call("protect", "--forbid-self-approval", *rules, "--by", "admin")
    assert done.code == 0, done.text
    return project


def named(project, kind: str) -> tuple[dict[str, list[str]], list[str]]:
    """The parameters that name one intent of each kind, and what its page must say."""
    first, second, last = sorted(p.name for p in (project.folder / "backups").glob("backup_*"))
    if kind == "repair":
        with project.ledger() as ledger:
            run = ledger.history(ledger.database_id(None))[0].run_id
        project.leave_unfinished(run)
        return {"repair": [run]}, [f"{run} back"]
    return {
        "restore": ({"backupId": [last]}, [last, "sha256 of its manifest", "<td><code>users</code></td>"]),
        "rows": ({"backupId": [last], "tables": ["users"]}, [f"rows of users from {last}"]),
        "removal": ({"deleteBackup": [first]}, [f"sha256 of the manifest of {first}"]),
        "several": ({"deleteBackup": [first, second]}, [f"manifest of {first}", f"manifest of {second}"]),
        "stamp": ({"stamp": ["r1"]}, ["r2 -> r1", "There was no dry run"]),
        "protection": ({"protection": ["unprotect"]}, ["protection of", "unprotect"]),
    }[kind]


def link_of(params: dict[str, list[str]]) -> str:
    return f"/request?{urlencode(params, doseq=True)}"


def document_of(page: str) -> str:
    return re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[1]


def expect_shown_and_given(service: Served, kind: str) -> None:
    params, words = named(service.project, kind)
    asked = service.good("POST", "/request-approval", target="shop", role="olga", params=params)
    ana = Person(service, "ana")
    (link,) = re.findall(r'href="/ui(/request\?[^"]+)"', ana.look())
    assert parse_qs(link.partition("?")[2]) == params
    page = ana.look(link)
    for word in (*words, "asked for by olga", asked["planDigest"]):
        assert word in page, (word, page)
    shown = json.loads(document_of(page))
    del shown["created"], asked["approvalRequest"]["created"]
    assert shown == asked["approvalRequest"], "what is shown is what was asked for"

    form = ana.form(link)
    assert ana.send(link, **form, reason=" ").status_code == 400
    other = ana.send(link, **{**form, "plan": "0" * 64}, reason="seen")
    assert (other.status_code, "it changed since" in other.text) == (422, True)
    given = ana.send(link, **form, reason=f"{kind} was seen")
    assert given.status_code == 200, given.text
    token = re.search(r'id="token" value="([^"]+)"', given.text)[1]
    good = {**params, "token": token}
    assert service.good("GET", "/validate-token", target="shop", role="olga", params=good) == {"valid": True}
    assert "/ui/request?" not in ana.look(), "it waits no more"
    with service.project.ledger() as ledger:
        (made,) = [r.facts["approval"] for r in ledger.audit_records(20) if r.kind == "token generated"][-1:]
    assert (made["reason"], made["approvedBy"]) == (f"{kind} was seen", ["ana"])


@pytest.mark.parametrize("kind", ["restore", "rows", "removal", "several", "stamp", "protection"])
def test_F22_what_is_asked_for_is_shown_and_a_token_of_exactly_that_is_given(asking, kind) -> None:
    expect_shown_and_given(asking.service, kind)


def test_F22_a_repair_is_shown_with_what_it_would_do(tmp_path) -> None:
    with served_here(shop(tmp_path), ROLES) as service:
        expect_shown_and_given(service, "repair")


def test_F22_where_approvers_sign_the_page_gives_what_they_sign(tmp_path) -> None:
    signer = Approver("ana", tmp_path)
    project = shop(tmp_path, "--approver", signer.line)
    params, _ = named(project, "removal")
    link = link_of(params)
    with served_here(project, ROLES) as service:
        ana = Person(service, "ana")
        unasked = ana.look(link)
        assert "Nobody has asked for it yet" in unasked
        assert "ci-migrate approve" not in unasked
        assert "/ui/request?" not in ana.look(), "who looks has not asked"
        service.good("POST", "/request-approval", target="shop", role="olga", params=params)
        page = ana.look(link)
        assert "give the token that it prints to olga" in page
        assert ">Approve</button>" not in page
        file = project.write("request.json", document_of(page))
        signed = project.call("approve", "--key", str(signer.file), "--reason", "seen", str(file))
        assert signed.code == 0, signed.text
        refused = ana.send(link, **ana.form(link), reason="seen")
        assert (refused.status_code, "they sign the request" in html.unescape(refused.text)) == (403, True), (
            refused.text
        )
        good = {**params, "token": signed.out.strip()}
        valid = service.good("GET", "/validate-token", target="shop", role="olga", params=good)
        assert valid == {"valid": True}


def test_F22_what_was_denied_waits_no_more_until_it_is_asked_for_anew(asking) -> None:
    service, link = asking.service, "/request?protection=unprotect"
    params = {"protection": "unprotect"}
    ana = Person(service, "ana")
    for number in range(2):
        asked = service.good("POST", "/request-approval", target="shop", role="olga", params=params)
        assert f"/ui{link}" in ana.look()
        assert ana.send("/deny", **ana.form(link), reason=f"no {number}").status_code == 303
        assert "/ui/request?" not in ana.look()
    with service.project.ledger() as ledger:
        denied = [r.facts for r in ledger.audit_records() if r.kind == "approval denied"]
    assert [(f["denied"], f["reason"]) for f in denied] == [
        (asked["planDigest"], f"no {n}") for n in range(2)
    ]


@pytest.mark.parametrize("name", ["vic", "olga"])
def test_who_may_not_approve_is_shown_no_request(asking, name) -> None:
    link = "/request?protection=unprotect"
    person = Person(asking.service, name)
    assert "this needs approver" in person.look(link, 403)
    csrf = re.search(r'name="csrf" value="([^"]+)"', person.look())[1]
    sent = person.send(link, csrf=csrf, plan="0" * 64, reason="x")
    assert (sent.status_code, "this needs approver" in sent.text) == (403, True)
    asking.service.client.cookies.clear()
    assert person.send(link, "GET").headers["location"] == "/ui/login"


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 422, "there is nothing to approve"),
        ("backupId=backup_x", 400, "backup_x"),
        ("dropOld=true", 422, "there is nothing to approve"),
        ("repair=run_x", 400, "run_x is not the one"),
        ("forward=true", 400, "needs --repair"),
        ("dropOld=true&stamp=r1", 400, "for one thing"),
        ("protection=everything", 400, "is no change of a protection"),
        ("targetVersion=r1", 422, "fresh enough"),
        ("targetVersion=%3Cscript%3E", 422, "<script>"),
    ],
)
def test_what_can_not_be_asked_for_is_said(asking, query, status, words) -> None:
    page = Person(asking.service, "ana").send(f"/request?{query}", "GET")
    assert page.status_code == status, page.text
    assert words in html.unescape(page.text)
    assert "<script" not in page.text


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    project = shop(tmp_path_factory.mktemp("asking"))
    with served_here(project, ROLES) as service:
        yield Person(service, "ana")


@pytest.fixture(scope="module")
def texts(asking) -> dict[str, str]:
    """Pages with their style in them: the browser's event loop leaves no room for that of the application."""
    params, _ = named(asking.service.project, "several")
    asking.service.good("POST", "/request-approval", target="shop", role="olga", params=params)
    ana = Person(asking.service, "ana")
    style = f"<style>{ana.send('/style.css', 'GET').text}</style></head>"
    pages = {"several": link_of(params), "restore": link_of(named(asking.service.project, "restore")[0])}
    return {
        name: ana.send(link, "GET").text.replace("</head>", style)
        for name, link in {**pages, "overview": "/"}.items()
    }


@pytest.mark.parametrize("width", [390, 1280])
def test_the_request_fits_on_a_phone_and_on_a_desk(texts, browser, width) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        for name, text in texts.items():
            page.set_content(text)
            assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, name
            if PICTURES:
                page.screenshot(path=f"{PICTURES}/{name}-{width}.png", full_page=True)
    finally:
        context.close()
