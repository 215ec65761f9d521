"""The pytest plugin: loaded by every pytest run of an environment, so it imports nothing until it is asked for."""
