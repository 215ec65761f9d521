"""One verb per file: parse, call the gate, render; no logic."""
