"""Times in the browser's own time zone, which the server knows from each request of the page."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st


def when(moment: datetime) -> str:
    """Return a date and time for people: "29 Nov 2026, 14:02", with "UTC" if the time zone is not known."""
    here = zone()
    return f"{moment.astimezone(here or UTC):%d %b %Y, %H:%M}{'' if here else ' UTC'}"


def day(moment: datetime) -> str:
    """Return a date for people: "29 Nov 2026"."""
    return f"{moment.astimezone(zone() or UTC):%d %b %Y}"


def at(moment: datetime) -> str:
    """Return a time of the present day, "14:02", and with its date if it was on another."""
    here = zone() or UTC
    if moment.astimezone(here).date() != datetime.now(here).date():
        return when(moment)
    return f"{moment.astimezone(here):%H:%M}{'' if zone() else ' UTC'}"


def midnight(of: date) -> datetime:
    """Return when a day began in the browser's time zone."""
    return datetime.combine(of, time(), zone() or UTC)


def zone() -> tzinfo | None:
    """Return the browser's time zone; None if no browser has told it."""
    name = st.context.timezone
    if not isinstance(name, str) or not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone here: its present offset is the next best
        minutes = st.context.timezone_offset
        return None if minutes is None else timezone(-timedelta(minutes=minutes))
