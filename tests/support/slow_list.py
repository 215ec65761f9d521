"""Which tests `make test` leaves out: the slowest, until what is left fits into ten minutes on two cores.

    .venv/bin/python -m pytest -n 3 --dist worksteal -m "not long" --junitxml=all.xml
    .venv/bin/python tests/support/slow_list.py all.xml > tests/slow.txt

Measured rather than guessed: a test gets slow by what it stands on, too. What is left out runs in `make test-slow`, and
in `.ci/run` with the rest.
"""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

BUDGET = 1300
"""Seconds of all test processes together: three of them on two cores have 1,800 in ten minutes, servers start in them."""

KEPT = (
    "tests/e2e/test_bookshop.py::test_the_demo_comes_to_its_end",
    "tests/e2e/test_kill.py::test_M1_L3_kill",
    "tests/run/test_authorization.py",
    "tests/test_past_the_gate.py",
    "tests/test_architecture.py",
    "tests/test_docs.py",
)
"""What nobody should have to wait for the CI to hear of, whatever it costs."""


def measure(junit: Path) -> Counter[str]:
    """Seconds of each test function, all its parameters together."""
    found: Counter[str] = Counter()
    for case in ET.parse(junit).iter("testcase"):
        name = case.get("name", "").partition("[")[0]
        module, *classes = case.get("classname", "").split(".")
        parts = [module]
        while classes and classes[0][:1].islower():
            parts.append(classes.pop(0))
        found["::".join(("/".join(parts) + ".py", *classes, name))] += float(case.get("time", 0))
    return found


def choose(found: Counter[str]) -> list[tuple[str, float]]:
    """The slowest functions, until the others come to `BUDGET`."""
    left, chosen = sum(found.values()), []
    for name, seconds in found.most_common():
        if left <= BUDGET:
            break
        if not name.startswith(KEPT):
            chosen.append((name, seconds))
            left -= seconds
    return chosen


if __name__ == "__main__":
    for name, seconds in choose(measure(Path(sys.argv[1]))):
        print(f"{seconds:6.1f} {name}")
