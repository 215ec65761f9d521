"""`repair --forward`: what is left of a migration is run, and nothing else."""

import pytest
from kill_support import OTHER_CLIENT, Shop, new_shop


def stopped(folder, mode, statement) -> Shop:
    """A shop on SQLite whose migration was killed, child and parent, when this statement was about to be sent."""
    (folder / "twin").mkdir()
    seen = folder / "seen"
    assert new_shop(folder / "twin", mode=mode).gate("run", env={"FAULT_EVENTS": str(seen)}).code == 0
    number = next(n for n, line in enumerate(seen.read_text().splitlines(), start=1) if statement in line)
    shop = new_shop(folder, mode=mode)
    assert shop.gate("run", fault=f"both:before:{number}").code == -9
    return shop


@pytest.fixture
def half_way(tmp_path) -> Shop:
    """Stopped behind a block that commits by itself: half of r2 is there."""
    return stopped(tmp_path, "autocommit", "UPDATE invoices SET total = total + 1")


def test_half_a_revision_is_completed_and_what_others_wrote_is_kept(half_way, tmp_path) -> None:
    half_way.query("INSERT INTO customers (id, name, points, email) VALUES (1001, 'came later', 7, 'x')")
    half_way.query("UPDATE customers SET name = 'renamed later' WHERE id = 1")
    status = half_way.here("status")
    assert "ci-migrate repair --forward --target dev" in status.text
    shown = half_way.here("repair", "--forward", "--dry-run")
    assert "run what is left of the migration" in shown.words
    assert half_way.heads_now() == ["r1"]
    done = half_way.here("repair", "--forward")
    assert done.code == 0, done.text
    assert half_way.heads_now() == ["r3"]
    points = dict(half_way.query("SELECT id, points FROM customers"))
    assert points[1] == 2  # once, not twice
    assert points[1001] == 7
    assert half_way.query("SELECT name FROM customers WHERE id = 1") == [("renamed later",)]
    assert half_way.here("run").code == 0


def test_rows_that_change_what_the_revision_sends_stop_it(half_way) -> None:
    exec(OTHER_CLIENT.format(url=half_way.url), {})  # one more customer for the loop that has already run
    before = half_way.everything_in_it()
    done = half_way.here("repair", "--forward")
    assert done.code == 7, done.text
    assert "what is committed of the revision begins otherwise" in " ".join(done.text.split())
    assert half_way.everything_in_it() == before


def test_a_script_that_changed_is_not_gone_on_with(half_way) -> None:
    script = half_way.folder / "migrations" / "versions" / "r2.py"
    script.write_text(script.read_text() + "\n# another one\n")
    before = half_way.everything_in_it()
    done = half_way.here("repair", "--forward")
    assert done.code == 7, done.text
    assert "r2.py is not the file that was rehearsed" in " ".join(done.text.split())
    assert half_way.everything_in_it() == before


def test_what_rolled_back_is_run_again(tmp_path) -> None:
    shop = stopped(tmp_path, "default", "UPDATE invoices SET total = total * 2")
    assert shop.heads_now() == ["r2"]
    done = shop.here("repair", "--forward")
    assert done.code == 0, done.text
    assert shop.heads_now() == ["r3"]


def test_mariadb_a_loop_that_may_have_been_cut_in_two_is_left_to_people(tmp_path, mysql_url) -> None:
    shop = new_shop(tmp_path, mysql_url)
    shop.revision(
        "r1",
        "r0",
        """
        for number in range(100, 105):
            op.execute(f"INSERT INTO customers VALUES ({number}, 'x', 1)")
        op.create_index("ix_points", "customers", ["points"])
        """,
    )
    assert (
        shop.gate("run", "--to", "r1", fault="both:before:8").code == -9
    )  # the rows are in, the index is not
    assert shop.query("SELECT COUNT(*) FROM customers") == [(35,)]
    done = shop.here("repair", "--forward")
    assert done.code == 7, done.text
    assert "a loop over rows, which may not have come to its end" in " ".join(done.text.split())
    assert shop.query("SELECT COUNT(*) FROM customers") == [(35,)]


def test_mariadb_going_on_can_fail_and_be_tried_again(tmp_path, mysql_url) -> None:
    """The reason lies in rows that somebody else wrote: once they are gone, going on succeeds."""
    shop = new_shop(tmp_path, mysql_url)
    shop.revision(
        "r1",
        "r0",
        """
        op.add_column("customers", sa.Column("email", sa.String(80)))
        op.create_index("ix_name", "customers", ["name"], unique=True)
        """,
    )
    assert shop.gate("run", "--to", "r1", fault="both:before:3").code == -9  # email is there, ix_name is not
    shop.query("INSERT INTO customers (id, name) VALUES (2000, 'name 1')")
    failed = shop.here("repair", "--forward")
    assert failed.code == 7, failed.text
    assert "Duplicate entry '***' for key" in failed.text  # whose it is stays in the database
    shop.query("DELETE FROM customers WHERE id = 2000")
    done = shop.here("repair", "--forward")
    assert done.code == 0, done.text
    assert shop.heads_now() == ["r1"]


def test_mariadb_what_was_set_for_the_session_is_set_again(tmp_path, mysql_url) -> None:
    """Without that the table could not be dropped: another one refers to it."""
    shop = new_shop(tmp_path, mysql_url)
    shop.query(
        "CREATE TABLE notes (id INT PRIMARY KEY, customer INT, FOREIGN KEY (customer) REFERENCES customers (id))"
    )
    shop.revision(
        "r1",
        "r0",
        """
        op.execute("SET foreign_key_checks = 0")
        op.create_index("ix_points", "customers", ["points"])
        op.execute("DROP TABLE customers")
        """,
    )
    done = shop.gate("run", "--to", "r1", "--allow", "CM201@r1=meant", fault="both:before:4")
    assert done.code == -9, done.text
    assert len(shop.query("SHOW INDEX FROM customers WHERE Key_name = 'ix_points'")) == 1
    done = shop.here("repair", "--forward")
    assert done.code == 0, done.text
    assert shop.heads_now() == ["r1"]
    assert shop.query("SHOW TABLES LIKE 'customers'") == []
