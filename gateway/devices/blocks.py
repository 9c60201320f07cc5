"""Blocks: points that are asked or heard together, and how they are taken apart again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Raw = Sequence[int] | bytes | Mapping[str, str]
"""What an answer or a message holds: registers or bits; the bytes of a value; texts by their place."""
