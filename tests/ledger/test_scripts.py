"""What scripts do, by their texts."""

from ci_migrate.ledger.scripts import codes_of, note_codes


def test_noted_once_and_found(ledger) -> None:
    assert codes_of(ledger, ["a" * 64]) == {}
    note_codes(ledger, {"a" * 64: "1" * 64, "b" * 64: ""})
    note_codes(ledger, {"a" * 64: "2" * 64, "c" * 64: "3" * 64})
    assert codes_of(ledger, ["a" * 64, "b" * 64, "c" * 64, "d" * 64]) == {
        "a" * 64: "1" * 64,
        "b" * 64: "",
        "c" * 64: "3" * 64,
    }
    note_codes(ledger, {})


def test_more_than_one_page(ledger) -> None:
    many = {f"{n:064}": f"{n:064}" for n in range(1200)}
    note_codes(ledger, many)
    assert codes_of(ledger, many) == many


def test_two_that_note_the_same_at_once(ledger, monkeypatch) -> None:
    """Between asking what is known and writing, another run wrote."""
    note_codes(ledger, {"a" * 64: "1" * 64})
    monkeypatch.setattr("ci_migrate.ledger.scripts.codes_of", lambda _ledger, _texts: {})
    note_codes(ledger, {"a" * 64: "1" * 64, "b" * 64: "2" * 64})
    monkeypatch.undo()
    assert codes_of(ledger, ["a" * 64]) == {"a" * 64: "1" * 64}
    note_codes(ledger, {"b" * 64: "2" * 64})
    assert codes_of(ledger, ["b" * 64]) == {"b" * 64: "2" * 64}
