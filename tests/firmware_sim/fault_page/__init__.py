"""docs/faults.md: what a plain client sees of each kind of fault, and what the gateway records, found by running it."""
