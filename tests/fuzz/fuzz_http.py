"""`python tests/fuzz/fuzz_http.py SECONDS [ROLES]`: schemathesis against the service's own OpenAPI document, with each role.

No answer may be a server's error, lack from the document, or look otherwise than documented. Needs `pip install
schemathesis`, which is not among the development packages: it hooks itself into each pytest.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from alembic_project import new_project
from http_service import ROLES, make_key, served

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        project = new_project(Path(folder))
        project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
        keys = {("dev", role): make_key(project, role, role, "dev") for role in ROLES}
        with served(project, keys, "--failures", "1000000") as service:
            for role in sys.argv[2:] or ROLES:
                print(f"--- {role}", flush=True)
                command = [
                    Path(sys.executable).parent / "schemathesis",
                    "run",
                    f"{service.url}/openapi.json",
                    "-H",
                    f"Authorization: Bearer {keys['dev', role]}",
                    *("--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing"),
                    # a migration is answered when it is done
                    *("--max-time", sys.argv[1], "--continue-on-failure", "--request-timeout", "120"),
                ]
                failed += bool(subprocess.run(command, cwd=folder, check=False).returncode)
        log = (project.folder / "serve.log").read_text()
        failed += "Traceback" in log
        print(log[-5000:])
    return failed


if __name__ == "__main__":
    sys.exit(main())
