from hypothesis import given
from hypothesis import strategies as st

from domain.retry import LONGEST_DELAY_MS, LONGEST_RETRY_AFTER_MS, delay

ALMOST_ONE = 1 - 2**-53


def test_the_ceiling_doubles_from_one_second_to_one_minute() -> None:
    assert [delay(charges, ALMOST_ONE) for charges in range(1, 9)] == [
        1_000,
        2_000,
        4_000,
        8_000,
        16_000,
        32_000,
        60_000,
        60_000,
    ]


def test_the_jitter_is_full() -> None:
    assert delay(3, 0.0) == 0
    assert delay(3, 0.25) == 1_000


def test_a_retry_after_is_a_floor_of_at_most_an_hour() -> None:
    assert delay(1, 0.0, 5_000) == 5_000
    assert delay(1, 0.5, 5_000) == 5_500
    assert delay(1, 0.0, 10 * LONGEST_RETRY_AFTER_MS) == LONGEST_RETRY_AFTER_MS


@given(
    charges=st.integers(1, 10**6),
    jitter=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.integers(0, 10**12),
)
def test_a_delay_is_never_negative_nor_endless(charges: int, jitter: float, asked: int | None) -> None:
    assert 0 <= delay(charges, jitter, asked) <= LONGEST_DELAY_MS + LONGEST_RETRY_AFTER_MS
