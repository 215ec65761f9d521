"""When a fleet run stops by itself. In words and meaning as Ansible: a percentage must be exceeded, not reached."""

from dataclasses import dataclass, field


@dataclass
class StopRules:
    """Counts the failures of a wave, and those in a row.

    Databases that were left out are none: nothing was tried there.
    """

    max_fail_percentage: int
    max_in_a_row: int
    size: int = 0  # of the wave
    failed: int = 0  # in the wave
    in_a_row: int = 0
    names: list[str] = field(default_factory=list)

    def begin_wave(self, size: int) -> None:
        """From now on shares are of so many databases."""
        self.size, self.failed = size, 0

    def note(self, name: str, *, failed: bool) -> str:
        """Count one that has ended. Returns why to stop, in words; "" to go on."""
        if not failed:
            self.in_a_row, self.names = 0, []
            return ""
        self.failed += 1
        self.in_a_row += 1
        self.names.append(name)
        if self.in_a_row >= self.max_in_a_row:
            shown = ", ".join(self.names[-self.max_in_a_row :][:5])
            return (
                f"{self.in_a_row} databases failed one after the other ({shown}): fleet-max-failures-in-a-row"
            )
        if self.failed * 100 > self.max_fail_percentage * self.size:
            return (
                f"{self.failed} of the {self.size} databases of this wave failed, which is more than "
                f"{self.max_fail_percentage} %: fleet-max-fail-percentage"
            )
        return ""
