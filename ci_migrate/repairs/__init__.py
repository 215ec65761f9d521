"""Diagnosis, and one repair per file."""
