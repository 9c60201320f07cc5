"""One worker a physical line: the only code that talks to meters, and it can only read."""
