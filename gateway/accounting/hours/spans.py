"""Time spans of hours that are not stated: how long they are kept, and when a stack without one is silent."""

from __future__ import annotations

from typing import Final

from gateway.clock import HOUR_MS

KEPT_MS: Final = 62 * 24 * HOUR_MS
"""Hours that nobody states are kept for this time."""
SILENT_MS: Final = 96 * HOUR_MS
"""A stack without a valid reference for this time is silent: a day before the authority has to be informed (H6)."""
