"""The cookie by which the server recognizes a browser when its page is loaded again.

It holds nothing but a random name, the start of the server that issued it and the minute of the last load of
a page. Scripts in the page cannot read it, other sites cannot make the browser send it along with a request
of theirs, and it ends with the browser.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie

COOKIE = "padim_browser"
# This run of the server, which tells whether a page was loaded before the server was started again.
START = secrets.token_hex(4)
STARTED = datetime.now(UTC)

# Names of browsers that have come back after a restart of the server, until their page asks. Requests alone
# fill it, so it is bounded.
_CAME_BACK: OrderedDict[str, None] = OrderedDict()
_MOST_CAME_BACK = 256

_FORM = re.compile(r"(?P<start>[0-9a-f]{8})\.(?P<minute>[0-9]{1,12})\.(?P<name>[A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class BrowserCookie:
    """The content of the cookie.

    Attributes:
        name: 256 random bits, which nobody else knows.
        start: the run of the server that issued it, compared with ``START``.
        minute: minutes since 1970 when a page was last loaded.
    """

    name: str
    start: str
    minute: int

    @classmethod
    def issued(cls, former: BrowserCookie | None = None) -> BrowserCookie:
        """Return the cookie for a page that is loaded now; it keeps the name of the former one."""
        now = int(time.time() // 60)
        if former is None:
            return cls(secrets.token_urlsafe(32), START, now)
        return replace(former, start=START, minute=now)

    @classmethod
    def parsed(cls, value: str) -> BrowserCookie | None:
        """Return the content of a cookie's value; None if this app has not written it."""
        found = _FORM.fullmatch(value)
        return None if found is None else cls(found["name"], found["start"], int(found["minute"]))

    @property
    def value(self) -> str:
        return f"{self.start}.{self.minute}.{self.name}"

    @property
    def hours_old(self) -> float:
        """Return the hours since a page was last loaded."""
        return max(0.0, (time.time() / 60 - self.minute) / 60)


def sent(cookies: Mapping[str, str]) -> BrowserCookie | None:
    """Return the cookie among those that a browser has sent, or None."""
    value = cookies.get(COOKIE)
    # Outside of a server, tests have a stand-in for the cookies.
    return BrowserCookie.parsed(value) if isinstance(value, str) else None


def of_header(header: str) -> BrowserCookie | None:
    """Return the cookie in the value of a request's Cookie header, or None."""
    try:
        jar = SimpleCookie(header)
    except CookieError:
        return None
    return sent({name: morsel.value for name, morsel in jar.items()})


def to_header(cookie: BrowserCookie, path: str, *, secure: bool) -> str:
    """Return the value of a Set-Cookie header.

    Args:
        cookie: the cookie.
        path: the path of the server's pages, so that servers behind one address do not share it.
        secure: whether the page was loaded by HTTPS.
    """
    # Lax, not Strict: a link in a mail opens the app as the same browser.
    return f"{COOKIE}={cookie.value}; Path={path}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"


def renewed(former: BrowserCookie | None, recent_hours: float) -> BrowserCookie:
    """Return the cookie for a page that is being loaded, and note if its browser had used a former server.

    Args:
        former: the cookie that the browser has sent; None if it sent none.
        recent_hours: a browser that was away for longer does not expect to find anything.
    """
    if former is not None and former.start != START and former.hours_old < recent_hours:
        _CAME_BACK[former.name] = None
        while len(_CAME_BACK) > _MOST_CAME_BACK:
            _CAME_BACK.popitem(last=False)
    return BrowserCookie.issued(former)


def came_back(name: str) -> bool:
    """Return whether a browser had loaded its last page from a server before this one; true once."""
    return _CAME_BACK.pop(name, False) is None
