"""The settings for people: each key with its value and what set it."""

from collections.abc import Mapping
from typing import Any

from ci_migrate.settings.keys import KEYS
from ci_migrate.settings.kinds import Secret
from ci_migrate.settings.settings import Settings
from ci_migrate.settings.urls import redact, show_url


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """Each key with its value for people and its source; no secrets."""
    rows = [
        ("target", settings.target, settings.sources["target"]),
        ("production", _words(settings.production), settings.production_reason),
    ]
    for key in KEYS:
        value = getattr(settings, key.attribute)
        if key.name == "alembic-config":
            value = settings.alembic_config or settings.alembic_toml
        rows.append((key.name, _words(value), settings.sources[key.name]))
        if key.name == "tags":
            for stage, tags in settings.stage_tags.items():
                name = f"stages.{stage}.tags"
                rows.append((name, _words(tags), settings.sources[name]))
    return rows


def _words(value: Any) -> str:
    if value is None:
        return "(not set)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g} s"
    if isinstance(value, Secret):
        return show_url(value)
    if isinstance(value, tuple):
        return ", ".join(redact(item) for item in value) or "(none)"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_words(item)}" for name, item in value.items()) or "(none)"
    return show_url(str(value))
