"""The two pluggy markers: a leaf, so that a plugin imports nothing else of ci-migrate."""

import pluggy

PROJECT_NAME = "ci_migrate"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
