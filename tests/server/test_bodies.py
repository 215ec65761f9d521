"""What a call may hold: lengths and letters are looked at before anything is done."""

import pytest
from pydantic import ValidationError

from ci_migrate.server.bodies import TOKEN_LENGTH, Confirmation, ConfirmedMigration, Stamp

GOOD = {"confirmationToken": "t", "confirmedBy": "ana", "reason": "why"}
BODIES = (Confirmation, ConfirmedMigration, Stamp)


@pytest.mark.parametrize("body", BODIES)
def test_names_are_camel_case_and_come_back_as_they_were(body):
    found = body.model_validate(GOOD)
    assert (found.confirmation_token, found.confirmed_by, found.reason) == ("t", "ana", "why")
    assert {name: found.model_dump(by_alias=True)[name] for name in GOOD} == GOOD


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("field", ["confirmedBy", "reason"])
@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[31m", "\x00", "\x7f", "tab\t", "x\n"])
def test_no_control_character_gets_into_the_trail_or_a_terminal(body, field, text):
    with pytest.raises(ValidationError):
        body.model_validate({**GOOD, field: text})


@pytest.mark.parametrize("body", BODIES)
def test_every_letter_of_people_is_fine(body):
    text = "größe 🚚 'quoted' \\ \"x\""
    assert body.model_validate({**GOOD, "reason": text}).reason == text


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("field", "longest"), [("confirmationToken", TOKEN_LENGTH), ("confirmedBy", 200), ("reason", 1000)]
)
def test_lengths_have_an_end(body, field, longest):
    body.model_validate({**GOOD, field: "x" * longest})
    with pytest.raises(ValidationError):
        body.model_validate({**GOOD, field: "x" * (longest + 1)})


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        (Confirmation, set()),
        (ConfirmedMigration, {"confirmationToken", "confirmedBy", "reason"}),
        (Stamp, {"reason"}),
    ],
)
def test_what_can_not_be_left_out_or_empty(body, needed):
    for field in GOOD:
        without = {name: value for name, value in GOOD.items() if name != field}
        empty = {**GOOD, field: ""}
        if field in needed:
            for fields in (without, empty):
                with pytest.raises(ValidationError):
                    body.model_validate(fields)
        else:
            body.model_validate(without)
    with pytest.raises(ValidationError):
        body.model_validate({**GOOD, "confirmationToken": ""})


@pytest.mark.parametrize("value", [1, True, [], {}, None])
def test_another_kind_of_value_is_not_taken_for_a_text(value):
    with pytest.raises(ValidationError):
        ConfirmedMigration.model_validate({**GOOD, "reason": value})


def test_a_backup_is_made_unless_the_call_says_no():
    assert ConfirmedMigration.model_validate(GOOD).create_backup
    assert not ConfirmedMigration.model_validate({**GOOD, "createBackup": False}).create_backup
