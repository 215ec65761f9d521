"""What the commands beside the pipeline do: backups, rollback, protection, status, doctor, init."""
