"""Variables that a container platform sets for other services, and that only happen to begin like ours.

Kubernetes tells every pod of a namespace the address of every service in it, in variables that begin with the service's
name; Docker did the same for linked containers. Next to a service called `crm-sweep-redis`, every container, ours
included, has variables such as `CRM_SWEEP_REDIS_PORT`.

| form, after the service's name | example of a value | set by |
|---|---|---|
| _SERVICE_HOST | 10.96.0.12 | Kubernetes |
| _SERVICE_PORT, _SERVICE_PORT_HTTP | 6379 | Kubernetes |
| _PORT | tcp://10.96.0.12:6379 | both |
| _PORT_6379_TCP, also with _PROTO, _PORT, _ADDR | tcp://10.96.0.12:6379, tcp, 6379, 10.96.0.12 | both |
| _PORT_6000_TCP_START, _END, _PORT_START, _PORT_END | tcp://172.17.0.5:6000, 6000 | Docker |
| _NAME | /web/crm-sweep-redis | Docker |
| _ENV_… | whatever the other container has | Docker |
"""

import re
from collections.abc import Mapping

# The name of a service ends with a letter or digit, so nothing with `__` before its last word matches, and that is how
# our settings are written: `CRM_SWEEP_API__PORT` is a setting, `CRM_SWEEP_API_PORT` may be a link.
_SERVICE = r"(?P<service>CRM_SWEEP(?:[_.]+[A-Z0-9]+)*?)"
_PORT = r"_PORT_\d{1,5}_(?:TCP|UDP|SCTP)"

#: No setting has such a word in its name, so the name alone is enough.
_BY_NAME = re.compile(
    rf"{_SERVICE}(?:_SERVICE_HOST|_SERVICE_PORT(?:_[A-Z0-9][A-Z0-9_]*)?"
    rf"|{_PORT}(?:_ADDR|_PROTO|_PORT|_START|_END|_PORT_START|_PORT_END)?)"
)
#: A misspelt setting could have such a name, so the value has to be one that a platform writes.
_BY_VALUE = (
    (re.compile(rf"{_SERVICE}_PORT"), re.compile(r"(?:tcp|udp|sctp)://\S+:\d{1,5}")),
    # Not `CRM_SWEEP_TRACING__SERVICE_NAME`, which is a setting.
    (re.compile(rf"(?!.*__){_SERVICE}_NAME"), re.compile(r"/[^/\s]+/[^/\s]+")),
)
#: Any word can follow, so there has to be a `_NAME` as well, which Docker always sets.
_COPIED = re.compile(rf"{_SERVICE}_ENV_.+")


def is_service_link(name: str, environ: Mapping[str, str]) -> bool:
    """Check whether a container platform has set this variable for another service.

    Args:
        name: the name of a variable that is not one of our settings.
        environ: the environment that it is in.
    """
    if _BY_NAME.fullmatch(name) or any(
        form.fullmatch(name) and value.fullmatch(environ[name]) for form, value in _BY_VALUE
    ):
        return True
    copied = _COPIED.fullmatch(name)
    beside = f"{copied['service']}_NAME" if copied else ""
    return beside in environ and is_service_link(beside, environ)


def service_links(environ: Mapping[str, str]) -> list[str]:
    """Return the names of all such variables in an environment, sorted."""
    return sorted(name for name in environ if name.startswith("CRM_SWEEP_") and is_service_link(name, environ))
