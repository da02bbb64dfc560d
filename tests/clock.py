"""A clock for tests of what stops when time is up."""


class Clock:
    """Passes a second each time that somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now
