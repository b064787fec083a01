"""How often Python looks for garbage in short processes."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Search for reference cycles only after 100,000 new objects instead of 700; call it before importing.

    A short process makes few cycles but hundreds of thousands of objects that stay, modules and figures above
    all. Searching them again and again took a quarter of its time.
    """
    gc.set_threshold(100_000, 20, 100)
