"""When a fleet run stops by itself. In words and meaning as Ansible: a percentage must be exceeded, not reached."""

from dataclasses import dataclass, field
from itertools import takewhile

BY_CANARY = "the canary "
"""How the words begin that say that a canary stopped a run."""


@dataclass
class StopRules:
    """Looks at the databases of a wave that failed, and at those that failed in a row.

    Databases that were left out are no failures: nothing was tried there.
    """

    max_fail_percentage: int
    max_in_a_row: int
    size: int = 0  # of the wave
    began: int = 0  # so many had ended when the wave began
    ended: list[tuple[str, bool]] = field(default_factory=list)  # by name, and whether they failed

    def begin_wave(self, size: int) -> None:
        """From now on shares are of so many databases."""
        self.size, self.began = size, len(self.ended)

    def note(self, name: str, *, failed: bool) -> str:
        """Note one that has ended. Returns why to stop, in words; "" to go on."""
        self.ended.append((name, failed))
        if not failed:
            return ""
        row = [one for one, _ in takewhile(lambda end: end[1], reversed(self.ended))]
        if len(row) >= self.max_in_a_row:
            shown = ", ".join(row[: self.max_in_a_row][::-1][:5])
            return f"{len(row)} databases failed one after the other ({shown}): fleet-max-failures-in-a-row"
        of_wave = sum(failed for _, failed in self.ended[self.began :])
        if of_wave * 100 > self.max_fail_percentage * self.size:
            return (
                f"{of_wave} of the {self.size} databases of this wave failed, which is more than "
                f"{self.max_fail_percentage} %: fleet-max-fail-percentage"
            )
        return ""
