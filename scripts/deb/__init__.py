"""The Debian package: built by `scripts/package`, shown to work by `scripts/bench package` (docs/install.md)."""
