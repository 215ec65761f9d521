"""Settings: `[tool.ci-migrate]` in pyproject.toml or ci-migrate.toml, then CI_MIGRATE_* variables, then flags."""
