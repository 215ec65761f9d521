"""`ci-migrate serve`: the same over HTTP. A thin layer: what changes a target runs in a process of its own."""
