"""Backups: the catalog is the storage itself, a backup is a folder whose manifest was written last."""
