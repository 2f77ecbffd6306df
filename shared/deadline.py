"""Time budgets: reading them from text, and knowing what is left."""

import re
import time

from shared.errors import ConfigError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> float:
    """``"90s"``, ``"10m"``, ``"1h"`` or plain seconds.

    Raises:
        ConfigError: Anything else, or not above 0.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise ConfigError(f"--budget {text}: expected a time above 0 like 90s, 10m or 1h")
    return seconds


class Deadline:
    """A budget that runs from the moment it is made."""

    def __init__(self, seconds: float) -> None:
        self.budget = seconds
        self._start = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """Seconds until the budget is spent; negative afterwards."""
        return self.budget - self.elapsed

    def at(self, seconds: float) -> float:
        """The ``time.monotonic()`` that lies ``seconds`` after the start."""
        return self._start + seconds
