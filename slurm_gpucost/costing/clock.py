"""When a zone's clocks change. Pure; zone files are zoneinfo's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY_S = 86_400
_MS = timedelta(milliseconds=1)


def offset_ms(second: int, zone: ZoneInfo) -> int:
    """What a clock in ``zone`` is ahead of UTC at a second since 1970, in ms."""
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // _MS


def offset_spans(zone: ZoneInfo, start_ms: int, end_ms: int) -> Iterator[tuple[int, int, int]]:
    """[start_ms, end_ms) cut at each change of the clocks: (start ms, end ms, what the clock is ahead of UTC in ms).

    A change is found by looking once a day and halving between. So two changes within a day would be missed; in all
    zones and years of the time zone database (2025b) there are no two within 95 hours of each other. Changes lie on
    whole seconds.
    """
    since, second = start_ms, start_ms // 1000
    offset = offset_ms(second, zone)
    while second * 1000 < end_ms:
        after = second + DAY_S
        if offset_ms(after, zone) != offset:
            low = second
            while after - low > 1:
                middle = (low + after) // 2
                if offset_ms(middle, zone) == offset:
                    low = middle
                else:
                    after = middle
            if after * 1000 >= end_ms:
                break
            yield since, after * 1000, offset
            since, offset = after * 1000, offset_ms(after, zone)
        second = after
    if since < end_ms:
        yield since, end_ms, offset
