"""What HAProxy does with a request whose routers are down by its checks, or gone: ways out that Serve's file lacks.

    no router is told       the routers that were told last are asked on, if they live. While Serve builds a new version
                            of an application, it tells HAProxy of none, though the old ones serve on: for seconds.
    every router is down    what the checks say is passed over, and all of them are tried. A router that is to stop
                            fails its checks at once, and takes requests for seconds more: until HAProxy knows its
                            successors there is nobody else. A router that is busy misses checks, too.
    HAProxy was replaced    the process that was keeps its connections and the routers that it knew, and checks nobody
                            any more. When those are gone, the next request of each kept connection would be lost: it
                            is handed to the process that has the port now.

    a host went silent      what was sent to its router is given up by the `tcp-ut` of `default-server`, and asked of
                            another router. HAProxy 2.8 reads that there and gives it to no server: here each gets it.
    a router hangs          on a host that is well, it cannot be told from one that is at work, and Serve ends it only
                            after half a minute. A request that names a deadline is not held for so long: a moment
                            behind it the answer is 504, with the last resort that the Serve config has for that.
                            A stream has no such bound, as it may be silent for longer in its middle; nor has what
                            may ask for one as far as HAProxy can tell, which reads no more than its buffer.

Serve has its fallback for the first three, the Python proxy on the head, which goes with the head and holds what it
cannot give to anybody; `front` disables it.
"""

import re
from collections.abc import Mapping

LATE_MS = 400
"""Milliseconds behind the deadline of a request until HAProxy answers it: its router had the deadline for that."""

_ADDED = re.compile(r"(?ms)^    # ways out\n.*?^    # end\n")
_SECTION = re.compile(r"(?m)^(?=frontend |backend |listen )")
_FRONT = re.compile(r"frontend http_frontend\n\s+bind (\S+):(\d+)")
_ROUTED = re.compile(r"(?m)^    use_backend (\S+) if is_\1\n")
_SERVER = re.compile(r"(?m)^(\s+server \S+ \S+) check(?!.* backup).*\n")
_NAME = re.compile(r"(?m)^\s+server (\S+) ")
_PLACE = "    # Servers in this backend\n"
_TIMES = re.compile(r"(?m)^\s+timeout .*\n")
_TCP_UT = re.compile(r"(?m)^\s+default-server .*?\b(tcp-ut \S+)")
_WITHOUT_TCP_UT = re.compile(r"(?m)^(\s+server (?!.*\btcp-ut\b).*\S)$")
_BOUND = re.compile(r"frontend http_frontend\n.*\n")
_DUE = r"""
    acl is_ours path_beg /v1/
    http-request set-var(txn.asked) req.body,json_query('$.timeout') if is_ours
    http-request set-var(txn.asked) req.hdr(x-request-timeout-seconds) if is_ours !{ var(txn.asked) -m found }
    http-request set-var(txn.asked) req.hdr(x-neverblank-timeout) if is_ours !{ var(txn.asked) -m found }
    http-request set-var(txn.read) req.body_len if is_ours
    http-request set-var(txn.unread) req.hdr(content-length),sub(txn.read) if is_ours
    acl is_bounded var(txn.asked) -m reg ^[0-9]{1,4}([.][0-9]+)?$
    acl may_stream req.body -m reg '"stream"[[:space:]]*:[[:space:]]*[^f[:space:]]'
    acl may_stream req.body -m reg '\\u00[67]'
    acl may_stream req.hdr(content-encoding) -m found
    acl may_stream req.hdr_cnt(content-length) eq 0
    acl may_stream var(txn.unread) -m int gt 0
    acl is_due var(txn.due) -m found
    http-request set-var(txn.due) "var(txn.asked),regsub('^([0-9]+)\$','\1.')" if is_bounded !may_stream
    http-request set-var(txn.due) "var(txn.due),regsub('\$','000')" if is_due
    http-request set-var(txn.due) "var(txn.due),regsub('[.]([0-9]{3}).*\$','\1'),add(LATE_MS)" if is_due
""".lstrip("\n").replace("LATE_MS", str(LATE_MS))
"""Where a request names its deadline, in the order in which a router looks there, and when that is over.

Elsewhere than below `/v1/`, in another application beside ours, such a field may mean something else. What may ask for
a stream is looked for in the bytes: HAProxy's reader of JSON gives up at 20 levels, and a stream that it took for none
would be cut in its middle. Nobody's encoder escapes the letters of a key; who does has no bound either.
"""

_LIMITED = "    http-request set-timeout server var(txn.due) if { var(txn.due) -m found }\n"
_ANYWHERE = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}  # noqa: S104 - recognized


def with_known_routers(text: str, known: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return Serve's file `text` with the routers of before where it has none now, and the routers that it has then.

    Args:
        text: the file as Serve writes it.
        known: the lines of the routers of before, by the name of their application's section.
    """
    sections, told = _SECTION.split(text), dict[str, str]()
    for n, section in enumerate(sections):
        if section.startswith("backend ") and _PLACE in section:
            name = section.split(maxsplit=2)[1]
            servers = "".join(found[0] for found in _SERVER.finditer(section))
            if not servers and (servers := known.get(name, "")):
                # HAProxy starts with no file that has a name twice.
                taken = set(_NAME.findall(section))
                again = "".join(
                    line for line in servers.splitlines(True) if not taken.intersection(_NAME.findall(line))
                )
                sections[n] = section.replace(_PLACE, _PLACE + again)
            told[name] = servers
    return "".join(sections), told


def with_ways_out(text: str, tls: str = "") -> str:
    """Return HAProxy's file `text` with every way out but the first and that of silence; twice is as once.

    Args:
        text: the file as Serve writes it. Without an application there is nothing to get out of.
        tls: what a server's line needs to speak to the port of HTTP.
    """
    text = _ADDED.sub("", text)
    sections = _SECTION.split(text)
    n, bound = next(((n, _FRONT.match(one)) for n, one in enumerate(sections) if _FRONT.match(one)), (0, None))
    if bound is None or not _ROUTED.search(sections[n]):
        return text
    unchecked = {one.split(maxsplit=2)[1]: _unchecked(one) for one in sections if one.startswith("backend ")}

    def ways(found: re.Match[str]) -> str:
        name = found[1]
        rules = f"    use_backend successor if is_{name} {{ stopping }}\n"
        if unchecked.get(name):
            rules += f"    use_backend {name}-unchecked if is_{name} {{ nbsrv({name}) eq 0 }}\n"
        return _added(rules) + found[0]

    rules = _BOUND.sub(lambda found: found[0] + _added(_DUE), _ROUTED.sub(ways, sections[n]))
    for place, section in enumerate(sections):
        sections[place] = section.replace(_PLACE, _added(_LIMITED) + _PLACE)
    host, port = bound.groups()
    successor = f"backend successor\n    server next {_ANYWHERE.get(host, host)}:{port}{tls}\n"
    sections[n] = rules + _added("".join([*unchecked.values(), successor]))
    return "".join(sections)


def with_silence_limited(text: str) -> str:
    """Return HAProxy's file `text` with the `tcp-ut` of its `default-server`, where it has one, at every server."""
    if (found := _TCP_UT.search(text)) is None:
        return text
    return _WITHOUT_TCP_UT.sub(rf"\1 {found[1]}", text)


def _added(lines: str) -> str:
    return f"    # ways out\n{lines}    # end\n"


def _unchecked(section: str) -> str:
    """A section's servers without their checks, in a section of their own; empty without servers."""
    servers = "".join(f"{found[1]}\n" for found in _SERVER.finditer(section))
    name = section.split(maxsplit=2)[1]
    return servers and f"backend {name}-unchecked\n{_LIMITED}{''.join(_TIMES.findall(section))}{servers}"
