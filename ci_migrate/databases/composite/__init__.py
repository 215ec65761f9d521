"""Several databases that one env.py migrates, as one."""
