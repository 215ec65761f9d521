"""`python tests/fuzz/fuzz_approval.py RUNS`: feeds the parsers of approvals with what atheris makes of good inputs."""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
with atheris.instrument_imports(include=["ci_migrate"]):
    from approval_fuzz import one_input, seeds


def main() -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            Path(corpus, str(number)).write_bytes(seed)
        options = [
            f"-runs={sys.argv[1]}",
            "-max_len=6000",
            "-print_final_stats=1",
            f"-artifact_prefix={corpus}/",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], lambda data: (one_input(data), None)[1])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
