"""When a child that died is started again."""

from dataclasses import dataclass

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

#: A child that lived this long was well: the count begins anew.
WELL_AFTER_S = 60.0


@dataclass(frozen=True)
class Backoff:
    """How often a child died in a row."""

    deaths: int = 0

    def after_death(self, *, lived_s: float) -> "Backoff":
        return Backoff(1 if lived_s >= WELL_AFTER_S else self.deaths + 1)

    @property
    def pause_s(self) -> float:
        """Seconds until the next start: doubles with each death."""
        doublings = min(max(self.deaths - 1, 0), 16)
        return min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)
