"""The page for approvers: from the login to an applied migration in headless Chromium, and who may not."""

import httpx
import pytest
from alembic_project import new_project
from http_service import make_key, served

OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    project = new_project(tmp_path_factory.mktemp("pages"))
    project.settings('[targets.production]\nurl = "sqlite:///app.db"\nscratch = "server"\n')
    keys = {
        ("production", role): make_key(project, f"the-{role}", role, "production")
        for role in ("viewer", "admin")
    }
    with served(project, keys, "--failures", "1000") as running:
        yield running
    assert "Traceback" not in (project.folder / "serve.log").read_text()


def asked(service) -> None:
    """A deploy tool starts the migration; it waits for an approval."""
    problem = service.refused(
        403, "POST", "/migrate-with-backup", target="production", params={"target": "production"}
    )
    assert problem["exitCode"] == 4


@pytest.fixture
def page(service, browser):
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme="dark")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{service.url}/ui/")
    yield page
    # the browser says of an answer with an error that it is one
    assert [c for c in complaints if "Failed to load resource" not in c] == []
    context.close()


def log_in(page, key: str) -> None:
    assert page.title() == "Log in - ci-migrate"
    page.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")


def test_from_the_login_to_an_applied_migration(service, page) -> None:
    asked(service)
    log_in(page, "cim_000000000000_" + "a" * 43)
    assert page.get_by_role("alert").inner_text().startswith("No key, or none that is good")
    log_in(page, service.keys["production", "admin"])
    waits = page.locator("section[aria-labelledby=waits]")
    assert "r2" in waits.inner_text()
    assert "was restored into a scratch copy" in waits.inner_text()
    assert page.evaluate(OVERFLOW) <= 0
    waits.get_by_role("link", name="All of the evidence").click()
    assert page.title().startswith("NOT APPROVED: production")
    assert "users" in page.locator("section[aria-labelledby=statements]").text_content().lower()
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    )  # its own style holds
    page.go_back()
    page.get_by_label("Reason").fill("release 1.1")
    page.get_by_role("button", name="Approve and migrate").click()
    page.locator("[role=status]", has_text="finished").wait_for(timeout=60_000)
    assert "Database migration finished. Target version: r2" in page.content()
    assert service.project.heads == ["r2"]
    page.get_by_role("link", name="Back", exact=True).click()
    assert waits.inner_text().strip().endswith("Nothing.")
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{service.url}/ui/")
    assert page.title() == "Log in - ci-migrate"
    trail = service.project.call("audit", "show", "--target", "production").out
    assert "release 1.1" in trail
    assert service.keys["production", "admin"] not in trail

    # what a restore would lose is shown before it is done
    service.project.sql("insert into users values (1, 'ana', null)")
    service.project.sql("insert into users values (2, 'bob', null)")
    log_in(page, service.keys["production", "admin"])
    page.locator("section[aria-labelledby=backups] a").first.click()
    assert "users 2 no table" in " ".join(page.locator("table").inner_text().split()).replace(
        "rows now rows then ", ""
    )
    page.get_by_label("Reason").fill("a bad release")
    page.get_by_role("button", name="Restore").click()
    page.locator("[role=status]", has_text="finished").wait_for(timeout=60_000)
    assert service.project.heads == []

    # and no is an answer too
    asked(service)
    page.goto(f"{service.url}/ui/")
    other = page.context.new_page()
    other.goto(f"{service.url}/ui/")
    page.get_by_label("Reason").fill("not on a Friday")
    page.get_by_role("button", name="Deny").click()
    assert waits.inner_text().strip().endswith("Nothing.")
    other.get_by_label("Reason").fill("yes, on a Friday")
    other.get_by_role("button", name="Approve and migrate").click()
    assert "it was denied, or another run came after it" in other.locator("main").inner_text()
    assert service.project.heads == []
    assert "not on a Friday" in service.project.call("audit", "show", "--target", "production").out


def test_who_may_not(service) -> None:
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        assert client.get("/ui/").headers["location"] == "/ui/login"
        login = client.post("/ui/login", data={"key": service.keys["production", "viewer"]})
        assert login.status_code == 303
        cookie = login.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert service.keys["production", "viewer"].lower() not in cookie
        overview = client.get("/ui/")
        assert "script" not in overview.text
        assert overview.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        csrf = overview.text.split('name="csrf" value="')[1].split('"')[0]
        form = {"csrf": csrf, "reason": "x", "plan": "", "run": "", "backup": ""}
        for place in ("approve", "deny", "restore"):
            assert client.post(f"/ui/{place}", data={**form, "csrf": "other"}).status_code == 403
            elsewhere = {"Origin": "https://evil.example.com"}
            assert client.post(f"/ui/{place}", data=form, headers=elsewhere).status_code == 403
            assert "has the role viewer" in client.post(f"/ui/{place}", data=form).json()["message"]
        for place in ("runs/none", "jobs/none", "backups/none"):
            assert client.get(f"/ui/{place}").status_code == 404
        client.post("/ui/logout", data=form)
        assert client.get("/ui/").status_code == 303
