"""The environment of a server: what the machine is like, and what its spec gives it. Nothing of this service.

A replica's own environment has Ray's variables, this project's virtual environment, the number of threads that Ray
allows a worker, and whatever keys its node has: a list of what is passed on is safer than one of what is not.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deployments.settings.credentials import credentials
from deployments.settings.files import root
from deployments.settings.server_specs import ServerSpec

_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_OF_THE_MACHINE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "HOSTNAME"),
        *("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
        *_PROXIES,
        *(name.upper() for name in _PROXIES),
    }
)
_OF_ITS_HARDWARE = ("CUDA_", "NVIDIA_", "NCCL_", "ROCR_", "HIP_", "HSA_", "LC_", "XDG_")
"""Beginnings of names. Ray sets `CUDA_VISIBLE_DEVICES` for each replica."""

_PASSWORD = re.compile(r"://(?:[^/?#@\s:]*:([^/?#@\s]+)|([^/?#@\s:]{16,}))@")


def server_environment(spec: ServerSpec, ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of the server of `spec`, where the replica has `ours`."""
    passed = {
        name: value for name, value in ours.items() if name in _OF_THE_MACHINE or name.startswith(_OF_ITS_HARDWARE)
    }
    passed["PATH"] = _search_path(spec, ours.get("PATH", os.defpath))
    passed |= {name: ours[name] for name in spec.pass_env if name in ours}
    return passed | spec.env


def secrets_of(spec: ServerSpec, environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """Return what the server of `spec` must not be seen to write.

    Its spec says what is passed on to it, which is meant for secrets; of the variables that the spec gives it, and of
    the options of its command, the names say which ones hold some (`settings.credentials`). A count of tokens is none:
    `--max-num-batched-tokens` has the name of a secret. The password in an address is one, whatever its
    name, and so is a long word in its place.

    Args:
        spec: the server.
        environment: its variables.
        command: its command line.
    """
    named = [(name, environment[name]) for name in set(spec.env) - _OF_THE_MACHINE] + _options(command)
    secret = set(credentials(name for name, _ in named))
    secrets = [value for name, value in named if name in secret and not _is_count(name, value)]
    secrets += [environment[name] for name in spec.pass_env if name in environment]
    secrets += [found[1] or found[2] for value in environment.values() for found in _PASSWORD.finditer(value)]
    return [line.strip() for secret in secrets for line in secret.splitlines()]  # it is looked for line by line


def gpus_of(environment: Mapping[str, str]) -> int:
    """Return the number of GPUs that `environment` shows."""
    shown = environment.get("CUDA_VISIBLE_DEVICES", "")
    return sum(bool(each.strip()) and not each.strip().startswith("-") for each in shown.split(","))


def program_path(path: str) -> str:
    """Return `path` from the project's root where it is a relative one; a bare name as it is. Links are not followed.

    The Python of a virtual environment is a link, and knows by its own place where it belongs.
    """
    return os.path.normpath(root() / path) if os.sep in path else path


def _options(command: Sequence[str]) -> list[tuple[str, str]]:
    """Return the values of the options in `command`, each with the option's name as that of a variable.

    An option may be given again, and may have several values.
    """
    found: list[tuple[str, str]] = []
    option = ""
    for word in command:
        if not word.startswith("-"):
            found.append((option, word))
            continue
        name, separator, value = word.partition("=")
        option = name.strip("-").replace("-", "_")
        if separator:
            found.append((option, value))
    return found


def _is_count(name: str, value: str) -> bool:
    return name.lower().endswith("tokens") and value.strip().isdecimal()


def _search_path(spec: ServerSpec, ours: str) -> str:
    """Return `PATH` with the programs of the server's environment, and without those of ours."""
    own = Path(sys.prefix, "bin")
    kept = [each for each in ours.split(os.pathsep) if each and Path(each) != own]
    if spec.python is not None and os.sep in spec.python:
        kept.insert(0, str(Path(program_path(spec.python)).parent))
    return os.pathsep.join(kept)
