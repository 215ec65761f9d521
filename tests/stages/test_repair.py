"""What repair does, and when it must say no."""

from collections.abc import Callable

import pytest
from kill_support import BLOCK, R1, R2, R2_BACK, R3, R3_BACK, Shop, new_shop, only_for_real

BOOM = only_for_real('raise ValueError("boom")')


@pytest.fixture(params=["sqlite", "postgresql"])
def make_shop(request, tmp_path) -> Callable[..., Shop]:
    def make(mode: str = "per-migration", settings: str = "") -> Shop:
        url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
        return new_shop(tmp_path, url, mode=mode, settings=settings)

    return make


def half(shop: Shop) -> None:
    """The block of r2 commits, what follows it fails."""
    shop.revision("r2", "r1", R2 + BLOCK + BOOM, R2_BACK)


# --------------------------------------------------------------------------- half a revision


def test_half_a_revision_is_left_to_people_with_the_exact_commands(make_shop) -> None:
    shop = make_shop("autocommit")
    half(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    result = done.stage("repair")
    assert (result["outcome"], result["diagnosis"]["found"]) == ("failed", "half a revision")
    backup = done.stage("backup")["backup"]["backupId"]
    commands = result["diagnosis"]["nextCommands"]
    restoring = next(c for c in commands if "backup restore" in c)
    assert restoring.startswith(f"ci-migrate backup restore {backup} --target dev")
    assert "loses what was written since" in restoring
    left = shop.everything_in_it()
    again = shop.here("repair")
    assert again.code == 7, again.text
    assert shop.here("run").code == 7
    assert shop.everything_in_it() == left
    restored = shop.here(*restoring.split("   ")[0].split()[1:], "--yes")
    assert restored.code == 0, restored.text
    assert shop.everything_in_it() == before
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]


def test_half_a_revision_is_restored_where_nobody_else_wrote(make_shop) -> None:
    shop = make_shop("autocommit", 'restore = "auto"')
    half(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert shop.everything_in_it() == before
    assert done.stage("repair")["state"] == "as before, proved"
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]


def test_M15_a_table_that_somebody_else_wrote_is_not_restored_over(make_shop) -> None:
    shop = make_shop("autocommit", 'restore = "auto"')
    half(shop)
    done = shop.gate("run", write=True)
    assert done.code == 7, done.text
    message = done.stage("repair")["message"].replace("public.", "")
    assert "table customers: 1 row that the backup and the rehearsal do not explain" in message
    assert shop.query("SELECT name FROM customers WHERE id = 1000") == [("came later",)]
    again = shop.here("repair")
    assert again.code == 7, again.text
    assert shop.query("SELECT name FROM customers WHERE id = 1000") == [("came later",)]


def test_a_schema_altered_by_hand_meanwhile_is_unknown_until_it_is_put_right(make_shop) -> None:
    shop = make_shop()
    assert shop.gate("run", fault="both:after:3").code == -9
    shop.query("CREATE TABLE by_hand (x INTEGER)")
    left = shop.everything_in_it()
    repaired = shop.here("repair")
    assert repaired.code == 7, repaired.text
    assert repaired.stage("repair")["diagnosis"]["found"] == "unknown"
    assert shop.everything_in_it() == left
    shop.query("DROP TABLE by_hand")
    assert shop.here("repair").code == 0
    assert shop.here("run").code == 0


def test_what_repair_would_do_is_shown_and_not_done(make_shop) -> None:
    shop = make_shop()
    assert shop.gate("run", fault="both:after:3").code == -9
    shown = shop.here("repair", "--dry-run")
    assert shown.code == 0, shown.text
    assert "prove that the target is as it was before" in " ".join(shown.text.split())
    assert shop.here("status").code == 7


# --------------------------------------------------------------------------- revisions that committed before


def failing_second(shop: Shop) -> None:
    shop.revision("r2", "r1", R2 + BOOM, R2_BACK)


def test_keep_leaves_the_good_prefix_and_the_next_run_goes_on(make_shop) -> None:
    shop = make_shop()
    failing_second(shop)
    done = shop.here("run")
    assert done.code == 7, done.text
    assert done.stage("repair")["state"] == "partly migrated"
    assert "boom" in done.text
    assert shop.heads_now() == ["r1"]
    assert shop.query("SELECT count(*) FROM invoices") == [(0,)]
    shop.revision("r2", "r1", R2, R2_BACK)
    again = shop.here("run")
    assert again.code == 0, again.text
    assert shop.heads_now() == ["r3"]


def test_back_downgrades_what_the_dry_run_proved(make_shop) -> None:
    shop = make_shop(settings='on-failure = "back"')
    failing_second(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert "downgraded" in done.stage("repair")["message"]
    assert shop.everything_in_it() == before
    assert shop.here("status").code == 0


def test_a_way_back_that_is_not_proven_is_not_gone(make_shop) -> None:
    shop = make_shop(settings='on-failure = "back"')
    shop.revision("r1", "r0", R1, "pass")  # leads nowhere
    failing_second(shop)
    done = shop.here("run")
    assert done.code == 7, done.text
    keep = next(c for c in done.stage("repair")["diagnosis"]["nextCommands"] if "ON_FAILURE=keep" in c)
    assert shop.heads_now() == ["r1"]
    assert shop.here("run").code == 7
    assert keep.startswith("CI_MIGRATE_ON_FAILURE=keep ci-migrate repair --target dev")
    shop.environ["CI_MIGRATE_ON_FAILURE"] = "keep"
    kept = shop.here("repair", "--target", "dev")
    assert kept.code == 0, kept.text
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]


def test_without_a_proven_way_back_the_backup_is_the_way_back(make_shop) -> None:
    shop = make_shop(settings='on-failure = "back"\nrestore = "auto"')
    shop.revision("r1", "r0", R1, "pass")
    failing_second(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert "restored from the backup" in done.stage("repair")["message"]
    assert shop.everything_in_it() == before
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0


def test_a_repair_that_is_killed_is_repaired_by_the_next(make_shop) -> None:
    """kill -9 in the downgrade, after its first commit: the next repair goes on from there."""
    shop = make_shop(settings='on-failure = "back"')
    shop.revision("r3", "r2", R3 + BOOM, R3_BACK)
    before = shop.everything_in_it()
    done = shop.gate("run", in_child="both:commit:1", env={"FAULT_STAGE": "repair"})
    assert done.code == -9, done.text
    assert shop.heads_now() == ["r1"]
    assert shop.here("run").code == 7
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert shop.everything_in_it() == before


def test_auto_rollback_off_leaves_the_repair_to_the_command(make_shop) -> None:
    shop = make_shop(mode="default", settings="auto-rollback = false")
    shop.revision("r1", "r0", R1 + BOOM)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    assert shop.here("status").code == 7
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert shop.everything_in_it() == before
    assert shop.here("repair").code == 0  # nothing left to do
