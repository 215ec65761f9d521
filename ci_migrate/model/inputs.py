"""What decides what a migration does, beside the database: files, distributions, settings."""

from collections.abc import Collection, Mapping

from ci_migrate.model.base import Frozen, canonical_json, sha256_hex


class Inputs(Frozen, frozen=True, kw_only=True):
    """A set of inputs, as a child saw it.

    `files` that were executed or read: the sha256 of each by its name, relative to the project where it is inside.
    `distributions` that are installed, with their versions; "python" is the interpreter. `settings` are those that a
    migration depends on, without secrets.
    """

    files: dict[str, str] = {}
    distributions: dict[str, str] = {}
    settings: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON; "" of nothing."""
        return sha256_hex(canonical_json(self)) if self else ""

    def __bool__(self) -> bool:
        return bool(self.files or self.distributions or self.settings)

    def plus(self, other: "Inputs") -> "Inputs":
        """These and what another set has besides; where both name something, the other one counts."""
        return Inputs(
            files=self.files | other.files,
            distributions=self.distributions | other.distributions,
            settings=self.settings | other.settings,
        )

    def beyond(self, other: "Inputs") -> "Inputs":
        """What of this the other does not have, or has otherwise."""
        return Inputs(
            files=_beyond(self.files, other.files),
            distributions=_beyond(self.distributions, other.distributions),
            settings=_beyond(self.settings, other.settings),
        )

    def without_files(self, names: Collection[str]) -> "Inputs":
        """The same without some files."""
        kept = {name: digest for name, digest in self.files.items() if name not in names}
        return Inputs(files=kept, distributions=self.distributions, settings=self.settings)

    def changes_to(self, later: "Inputs") -> list[str]:
        """What is not the same in a later set, in words; [] if all is."""
        words = []
        for kind, mine, theirs in (
            ("file", self.files, later.files),
            ("distribution", self.distributions, later.distributions),
            ("setting", self.settings, later.settings),
        ):
            for name in sorted(mine.keys() | theirs.keys()):
                was, now = mine.get(name), theirs.get(name)
                if was == now:
                    continue
                if was is None or now is None:
                    words.append(f"{kind} {name} {'came in' if was is None else 'is gone'}")
                else:
                    words.append(
                        f"{kind} {name} was changed" + ("" if kind == "file" else f" from {was} to {now}")
                    )
        return words


def _beyond(mine: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in mine.items() if others.get(name) != value}
