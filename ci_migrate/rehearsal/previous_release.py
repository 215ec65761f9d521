"""The tests of the release that runs now, against a migrated scratch copy of their own (N-1)."""

from ci_migrate.databases.composite.database import members_of
from ci_migrate.errors import CiMigrateError
from ci_migrate.migrations.environment import ChildEnvironment, with_driver_of
from ci_migrate.model import Backup, Direction, Plan
from ci_migrate.process import run_command
from ci_migrate.rehearsal.mask import mask_copy
from ci_migrate.rehearsal.measured import run_on_copy
from ci_migrate.run.run import Run, restore_copy
from ci_migrate.settings.secrets import hide_secrets


def try_previous_release(run: Run, plan: Plan, backup: Backup) -> tuple[str, str]:
    """Restore the backup once more, migrate it, and run the command: what it writes there spoils no evidence.

    Returns:
        Why it failed, in words ("" where it passed or nobody asked), and what it printed, without the password.
    """
    settings = run.settings
    if not settings.previous_release or plan.direction is not Direction.UPGRADE:
        return "", ""
    run.tell("running the tests of the previous release on a migrated copy")
    # a copy of its own: what these tests write would stand in the evidence
    with restore_copy(run, backup, f"{run.id}_old") as copy:
        mask_copy(run.settings, copy, run.masks)
        ended = run_on_copy(run, plan, copy, lambda _event: None, asks=())
        if not ended.ok:
            return f"the copy that it was to run on could not be migrated: {ended.words}", ""
        # every variable that leads to the target leads to the copy now
        targets = {name: member.url for name, member in members_of(run.database).items()}
        reader = run.reader.url if settings.read_url is not None else None
        environment = ChildEnvironment(settings, targets, reader)
        places = environment.for_stage({name: member.url for name, member in members_of(copy).items()})
        if settings.previous_release_variable:
            name = settings.previous_release_variable
            places[name] = with_driver_of(copy.url, settings.environ.get(name, ""))
        environ = {**environment.for_all(), **places, "CI_MIGRATE_STAGE": "dry-run"}
        try:
            code, output = run_command(
                settings.previous_release,
                env=environ,
                cwd=settings.project_dir,
                timeout=settings.previous_release_timeout,
            )
        except CiMigrateError as error:
            return error.what.rstrip("."), ""
    for place in places.values():
        output = output.replace(place, "***") if place else output
    output = hide_secrets(output)
    if code == 0:
        return "", output
    program = settings.previous_release[0]
    if code is None:
        return f"{program} took longer than {settings.previous_release_timeout:g} s", output
    last = next(
        (line.strip() for line in reversed(output.splitlines()) if line.strip()), "it printed nothing"
    )
    return f"{program} ended with {code}: {last[:200]}", output
