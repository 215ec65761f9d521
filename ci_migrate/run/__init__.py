"""What stages share: the Run, the one door, version rows, what was left by the last run."""
