"""What a signal handler leaves behind: the first signal counts, the second one ends the child at once."""

import signal

from ci_migrate.migrations.interrupt import Interrupt


def test_before_any_signal_nothing_is_to_be_stopped():
    fresh = Interrupt()
    assert (fresh.number, fresh.again, fresh.silent, fresh.defer_signals) == (None, False, "", False)


def test_the_first_signal_counts_and_the_second_is_in_a_hurry():
    told = Interrupt()
    told.set(signal.SIGTERM)
    assert (told.number, told.again) == (signal.SIGTERM, False)
    told.set(signal.SIGINT)
    assert (told.number, told.again) == (signal.SIGTERM, True), "the exit code is that of the first"
    told.set(signal.SIGINT)
    assert (told.number, told.again) == (signal.SIGTERM, True)
