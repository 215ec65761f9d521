"""Alembic lives here and nowhere else."""
