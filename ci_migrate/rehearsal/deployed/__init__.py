"""Whether the release that runs now still works with the migrated database.

`source.py` finds its files, `models.py` asks a child for its models, `reflection.py` reads the copy before and after,
`types.py` and `fit.py` compare the two, `floor.py` goes back through the history of releases.
"""
