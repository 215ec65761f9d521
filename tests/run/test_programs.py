"""On a production target no setting leads to a program that the repository's author writes."""

import sys
from pathlib import Path

import pytest

from ci_migrate.errors import RefusedError
from ci_migrate.run.programs import refuse_programs
from ci_migrate.settings.settings import load

OUTSIDE = f"{sys.executable}"


def program(project, name: str) -> Path:
    file = project.write(name, "#!/bin/sh\n")
    file.chmod(0o755)
    return file


def check(project, text: str, **environ: str) -> None:
    project.settings(text)
    refuse_programs(load(project.folder, {"PATH": "/usr/bin:/bin", **environ}, {}))


@pytest.mark.parametrize(
    "text",
    [
        'client-tools = "tools"',
        'squawk = "tools/tool"',
        'provider-create = ["tools/tool", "x"]',
        'provider-restore = ["/bin/sh", "tools/tool", "{id}"]',
        'provider-delete = ["sh", "./tools/tool"]',
        'provider-clone = ["linked"]',
        'provider-drop = ["tool"]',
        'python = "tools/tool"',
        '[targets.dev]\nurl = "command:tools/tool --print"',
        '[targets.dev]\nurl = "command:sh tools/tool"',
        '[targets.dev]\nurl = "sqlite:///a.db"\nstate = "command:./tools/tool"',
        '[targets.dev]\nurl = "sqlite:///a.db"\n[targets.dev.databases]\nb = "command:tools/tool"',
    ],
)
def test_F28_a_program_in_the_working_tree_is_refused(alembic_project, text):
    tool = program(alembic_project, "tools/tool")
    (alembic_project.folder / "linked").symlink_to(tool)
    with pytest.raises(RefusedError, match="in the working tree"):
        check(alembic_project, text, PATH=f"{tool.parent}:/usr/bin:/bin")


def test_programs_elsewhere_and_a_virtual_environment_of_links_are_fine(alembic_project, tmp_path):
    (alembic_project.folder / ".venv/bin").mkdir(parents=True)
    (alembic_project.folder / ".venv/bin/python").symlink_to("/bin/sh")
    check(
        alembic_project,
        f'python = ".venv/bin/python"\nprovider-create = ["sh", "-c", "x"]\nclient-tools = "{tmp_path.parent}"\n'
        '[targets.dev]\nurl = "command:sh -c x"',
    )


def test_F28_it_is_refused_before_it_is_asked_for_the_url(alembic_project):
    tool = program(alembic_project, "tools/tool")
    tool.write_text("#!/bin/sh\ntouch was-run\necho sqlite:///app.db\n")
    settings = (
        '[targets.dev]\nurl = "command:tools/tool"\nstate = "sqlite:///ledger.db"\nscratch = "server"\n'
    )
    alembic_project.settings(settings + 'tags = ["production"]\n')
    done = alembic_project.call("run")
    assert done.code == 1
    assert "in the working tree" in " ".join(done.text.split())
    assert not (alembic_project.folder / "was-run").exists()
    alembic_project.settings(settings)
    assert alembic_project.call("protect", "--by", "admin").code == 0
    done = alembic_project.call("run")
    assert done.code == 1, done.text
    assert "in the working tree" in " ".join(done.text.split())


def test_an_interpreter_of_the_working_tree_does_not_start_on_a_protected_target(alembic_project):
    """Nobody knows that it is protected before its ledger was read, and that comes after the start of a command."""
    assert alembic_project.run("run").code == 0
    assert alembic_project.run("protect").code == 0
    python = alembic_project.write("evil", f'#!/bin/sh\ntouch ran\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    alembic_project.settings('python = "./evil"\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.run("run", env={"PYTHONHASHSEED": "1"})
    assert done.code == 1, done.text
    assert "in the working tree" in done.words
    assert not (alembic_project.folder / "ran").exists()
