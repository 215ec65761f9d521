"""Hook specifications, the manager that calls the hooks, and the list that `ci-migrate plugins` shows."""
