"""Numbers, sizes and times in readable form."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Format a count: `1 row`, `1,204 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(size_bytes: float) -> str:
    """Format bytes in decimal units, as file managers do."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Format seconds by the two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 1 h`."""
    whole = max(0, round(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((place for place, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number) or "0 s"


def moment(unix_s: float, zone: ZoneInfo) -> str:
    """Format a time in the viewer's zone: `23 Nov 2026, 14:05`."""
    local = datetime.fromtimestamp(unix_s, UTC).astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M}"


def clock(unix_s: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC).astimezone(zone):%H:%M:%S}"


def share(done: float, total: float) -> float:
    """Return the done share, from 0 to 1. It is 0 as long as the total is not known or nothing is to be done."""
    return min(1.0, max(0.0, done / total)) if total > 0 else 0.0


def percent(share: float, *, decimals: int = 0) -> str:
    return f"{share * 100:.{decimals}f} %"


def small_probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def milliseconds(value: float) -> str:
    """Format milliseconds, short ones with two digits: `0.04 ms`, `5,000 ms`."""
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"
