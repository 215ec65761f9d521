"""What the dry run does on the scratch copy."""
