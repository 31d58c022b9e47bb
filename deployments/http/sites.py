"""Pages of other sites: what they have a browser send is refused where no key is asked for.

A browser sends a page's requests from the machine of its user. So without keys a page of any site reaches whatever
the user may: it can spend models and change things, though it cannot read the answers. Programs are not concerned:

    origin    what is no GET, and comes from a page of another site, is refused. Browsers name the origin of the page,
              or say themselves whose page it is, as in Go's `net/http.CrossOriginProtection`; programs do neither. A
              page that has its own name lead to this machine (DNS rebinding) is of this site to the browser.
    host      so, on a port that only this machine reaches, a browser has to ask by a name that no other site can have,
              as for Ollama and Jupyter, whatever it asks for: an address, a name of one word, or one of local networks.

`http.cors_origins` names the origins that are let in besides.
"""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import Scope

from deployments.policy.problem import InvalidRequestError, Problem

_READ_ONLY = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_THE_SAME_PAGE = frozenset({"same-origin", "none"})
"""How browsers call a request of the site itself, or of their user; all other programs say nothing."""
_WEB = ("http://", "https://", "null")
"""How the origins of pages begin. Applications and extensions have other schemes, which no site can have."""
_BROWSER = "Mozilla/"
_LOCAL = (".localhost", ".local", ".internal", ".home.arpa")
"""How names end that nobody can register."""
_OF_BROWSERS = frozenset({b"origin", b"sec-fetch-site"})
_SENT = _OF_BROWSERS | {b"host", b"user-agent"}

_ACCEPTED = "this service's own pages, or one of http.cors_origins"


def refuse_other_sites(scope: Scope, allowed: Collection[str], *, is_private: bool) -> None:
    """Refuse what a page of another site has a browser send, unless it only reads.

    Args:
        scope: the request.
        allowed: the origins that are let in besides; `*` for all.
        is_private: only this machine reaches the port. Then the name that a browser asks by is looked at as well.

    Raises:
        InvalidRequestError: the origin, or the name, may be that of another site (403).
    """
    sent = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _SENT}
    if "*" in allowed or not (sent.keys() & _OF_BROWSERS or sent.get(b"user-agent", "").startswith(_BROWSER)):
        return
    if scope["method"] not in _READ_ONLY:
        _check_origin(sent, allowed)
    if is_private:
        _check_name(_name_in(f"//{sent.get(b'host', '')}"), allowed)


def _check_origin(sent: Mapping[bytes, str], allowed: Collection[str]) -> None:
    origin, site = sent.get(b"origin", ""), sent.get(b"sec-fetch-site")
    if origin in allowed or (origin and not origin.startswith(_WEB)):
        return
    is_own = (
        not origin or origin.partition("://")[2] == sent.get(b"host") if site is None else site in _OF_THE_SAME_PAGE
    )
    if not is_own:
        raise InvalidRequestError(Problem("origin", "is that of another site", _ACCEPTED, 403))


def _check_name(name: str, allowed: Collection[str]) -> None:
    if not (_is_local(name) or any(name == _name_in(origin) for origin in allowed)):
        raise InvalidRequestError(Problem("host", "is a name that another site may have", _ACCEPTED, 403))


def _name_in(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:  # half an address of IPv6
        return address


def _is_local(name: str) -> bool:
    if "." not in name and ":" not in name:  # nobody can register a name of one word; HTTP/1.0 has none
        return True
    if name.endswith(_LOCAL):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
