"""What is wrong with Redis, in words: a stable reason, a sentence for people, and what to do.

Commands, answers, logs and the page describe redis-py's errors only in these words. They do not show the error's own
text: it may contain the command that failed, and with it a piece of a user's list.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from redis import exceptions

from config.masking import mask_text
from jobs.store.bounds import (
    RedisStalled,
    TlsUnknown,
    TlsWanted,
    refuses_client_certificate,
    untrusted_certificate,
)
from jobs.store.primary import NotPrimary
from jobs.store.replication import NotReplicated
from jobs.store.sentinel import NoSentinel, SentinelLogin, SentinelRights, UnknownToSentinels


class Reason(Enum):
    """All troubles: the stable word, what Redis does or is, what to do, whether waiting may help.

    The second part completes a sentence that begins with "Redis".
    """

    NO_SENTINEL = (
        "no_sentinel",
        "cannot be found, because no Sentinel names it",
        "check that the Sentinels in redis.url are running and can be reached",
        True,
    )
    UNKNOWN_TO_SENTINELS = (
        "unknown_to_sentinels",
        "has a name in redis.url that its Sentinels do not know",
        "write the name that `sentinel monitor` gives it in their configuration",
        False,
    )
    SENTINEL_PASSWORD = (
        "sentinel_password",
        "has Sentinels that do not accept the user name or password",
        "correct redis.sentinel_password and redis.sentinel_username",
        False,
    )
    SENTINEL_PERMISSION = (
        "sentinel_permission",
        "has Sentinels that do not let this user ask for the primary",
        "grant the rights that docs/high-availability.md lists",
        False,
    )
    UNREACHABLE = ("unreachable", "cannot be reached", "check that it is running, and that redis.url is right", True)
    STALLED = ("stalled", "does not answer in time", "check whether its machine is overloaded or frozen", True)
    TLS_WANTED = ("tls_wanted", "speaks TLS, but redis.url does not", "write rediss:// instead of redis://", False)
    TLS_UNKNOWN = (
        "tls_unknown",
        "does not speak TLS, but redis.url does",
        "write redis:// instead of rediss://",
        False,
    )
    UNTRUSTED = (
        "untrusted",
        "has a certificate that is not trusted",
        "renew it, or name its authority in redis.tls_ca_file",
        False,
    )
    CLIENT_CERTIFICATE = (
        "client_certificate",
        "does not accept the certificate of this client, or wants one and gets none",
        "name the right one in redis.tls_cert_file and redis.tls_key_file",
        False,
    )
    TLS = ("tls", "cannot be reached over TLS", "check rediss:// or redis:// in redis.url, and the certificates", False)
    NOT_REDIS = ("not_redis", "is not what answers at redis.url", "correct redis.url", False)
    WRONG_PASSWORD = (
        "wrong_password",
        "does not accept the user name or password",
        "correct redis.password, or the user name in redis.url",
        False,
    )
    NO_PERMISSION = (
        "no_permission",
        "does not grant this user a right that is needed",
        "grant the rights that docs/operations.md lists",
        False,
    )
    UNKNOWN_COMMAND = (
        "unknown_command",
        "does not know a command that is needed, or forbids it",
        "use a server that supports it",
        False,
    )
    NO_DATABASE = (
        "no_database",
        "has no database with this number",
        "correct the number at the end of redis.url",
        False,
    )
    CLUSTER = ("cluster", "is a cluster, which is not supported", "use a single server", False)
    LOADING = ("loading", "is still reading its data after a start", "wait until it has finished", True)
    BUSY = ("busy", "is busy running a script", "wait; if the script does not end, stop it with `SCRIPT KILL`", True)
    FULL_HOUSE = (
        "too_many_clients",
        "accepts no more connections",
        "raise maxclients, or find out who holds so many connections",
        True,
    )
    MASTER_DOWN = ("master_down", "is a replica that has lost its primary", "bring the primary back", True)
    READ_ONLY = (
        "read_only",
        "is a replica, which accepts no writes",
        "point redis.url at the primary; after a fail-over, work continues on its own",
        True,
    )
    NO_REPLICAS = (
        "no_replicas",
        "has too few replicas to accept writes (min-replicas-to-write)",
        "bring its replicas back",
        True,
    )
    NOT_REPLICATED = (
        "not_replicated",
        "did what it was asked, but too few replicas have it (redis.min_replicas), so a fail-over could undo it",
        "bring its replicas back; look at what was done before you ask again",
        True,
    )
    OUT_OF_MEMORY = (
        "out_of_memory",
        "is out of memory and accepts no new data",
        "raise maxmemory, or make room: a smaller retention_days forgets ended jobs earlier",
        False,
    )
    CANNOT_PERSIST = (
        "cannot_persist",
        "cannot write to its disk and accepts no new data (MISCONF)",
        "check its log and its disk; it recovers on its own when it can write again",
        False,
    )
    REFUSES = ("refuses", "refuses a command", "check its log, and that nothing else changes these keys", False)

    def __init__(self, word: str, what: str, to_do: str, passes: bool) -> None:
        self.word = word
        self.what = what
        self.to_do = to_do
        self.passes = passes


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble with Redis.

    Attributes:
        reason: which trouble it is.
        detail: more that an operator may see: an address, a right, the server's own word; can be empty.
    """

    reason: Reason
    detail: str = ""

    @property
    def what(self) -> str:
        """The trouble as a sentence without a full stop: `Redis is out of memory and accepts no new data`."""
        said = f"Redis {self.reason.what}"
        return f"{said}: {self.detail}" if self.detail else said

    def __str__(self) -> str:
        return f"{self.what}; {self.reason.to_do}"


def trouble_of(error: BaseException) -> Trouble:
    """Return the trouble behind an error of redis-py, or of the connection to Redis.

    Args:
        error: a `RedisError`, or an `OSError` (including `TimeoutError`) that was raised while talking to Redis.
    """
    text = " ".join(mask_text(str(error)).split())
    # In a pipeline that is not ours, redis-py puts the command before the server's own text.
    text = text.rpartition(" of pipeline caused error: ")[2].lstrip("('\"")
    if (why := untrusted_certificate(error)) is not None:
        return Trouble(Reason.UNTRUSTED, why)
    if refuses_client_certificate(error):
        return Trouble(Reason.CLIENT_CERTIFICATE)
    for kinds, reason in _BY_CLASS:
        if isinstance(error, kinds):
            return Trouble(reason, _DETAILS.get(reason, _nothing)(text))
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | OSError):
        return _of_connection(error, text)
    for pattern, reason in _BY_TEXT:
        if pattern.search(text):
            return Trouble(reason, _DETAILS.get(reason, _nothing)(text))
    return Trouble(Reason.REFUSES, _opening(text))


def word_for(error: BaseException) -> str:
    """Return one word for a log line: the reason of a trouble with Redis, the class name of any other error."""
    known = exceptions.RedisError | OSError
    return trouble_of(error).reason.word if isinstance(error, known) else type(error).__name__


#: redis-py removes the server's own word if it has a class for it.
_BY_CLASS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Reason], ...] = (
    (NoSentinel, Reason.NO_SENTINEL),
    (UnknownToSentinels, Reason.UNKNOWN_TO_SENTINELS),
    (SentinelLogin, Reason.SENTINEL_PASSWORD),
    (SentinelRights, Reason.SENTINEL_PERMISSION),
    (RedisStalled, Reason.STALLED),
    (NotReplicated, Reason.NOT_REPLICATED),
    (NotPrimary, Reason.READ_ONLY),
    (TlsWanted, Reason.TLS_WANTED),
    (TlsUnknown, Reason.TLS_UNKNOWN),
    (exceptions.OutOfMemoryError, Reason.OUT_OF_MEMORY),
    (exceptions.ReadOnlyError, Reason.READ_ONLY),
    (exceptions.NoPermissionError, Reason.NO_PERMISSION),
    ((exceptions.AuthenticationError, exceptions.AuthenticationWrongNumberOfArgsError), Reason.WRONG_PASSWORD),
    (exceptions.BusyLoadingError, Reason.LOADING),
    (exceptions.InvalidResponse, Reason.NOT_REDIS),
    (exceptions.MasterDownError, Reason.MASTER_DOWN),
    ((exceptions.ClusterError, exceptions.AskError, exceptions.ClusterCrossSlotError), Reason.CLUSTER),
)

#: The server's own word, at the beginning or, for an error in a script on Redis 6, after "…: -". The texts without a
#: word are what Redis 6, Redis 7 and newer versions say if a script exceeds the user's rights.
_BY_TEXT = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"(^|: -)OOM ", Reason.OUT_OF_MEMORY),
        (r"(^|: -)READONLY ", Reason.READ_ONLY),
        (r"(^|: -)MISCONF ", Reason.CANNOT_PERSIST),
        (r"(^|: -)NOREPLICAS ", Reason.NO_REPLICAS),
        (r"(^|: -)MASTERDOWN ", Reason.MASTER_DOWN),
        (r"(^|: -)(BUSY|UNKILLABLE) ", Reason.BUSY),
        (r"(^|: -)LOADING ", Reason.LOADING),
        (r"(^|: -)(MOVED|ASK|CLUSTERDOWN|CROSSSLOT|TRYAGAIN) ", Reason.CLUSTER),
        (r"(^|: -)NOPERM |ACL failure in script|user executing the script can't", Reason.NO_PERMISSION),
        # redis-py ignores that MULTI was refused, and reports the error that follows from it.
        (r"^EXEC without MULTI", Reason.NO_PERMISSION),
        (r"^NOAUTH |^WRONGPASS ", Reason.WRONG_PASSWORD),
        (r"^unknown command|Unknown Redis command", Reason.UNKNOWN_COMMAND),
        (r"^DB index is out of range|^invalid DB index", Reason.NO_DATABASE),
    )
)


def _of_connection(error: BaseException, text: str) -> Trouble:
    """Return what prevents a connection. The error's text is the system's own: an address and a cause."""
    if "max number of clients" in text:
        return Trouble(Reason.FULL_HOUSE)
    if re.search(r"\bSSL\b|CERTIFICATE|\bTLS\b", text):
        return Trouble(Reason.TLS, text.rstrip("."))
    if text.startswith("Protocol Error"):
        return Trouble(Reason.NOT_REDIS)
    # A time-out of our own has no errno; the kernel's means that the machine has been silent for long.
    is_slow = isinstance(error, exceptions.TimeoutError | TimeoutError) and getattr(error, "errno", None) is None
    if is_slow and "connecting" not in text:
        return Trouble(Reason.STALLED)
    return Trouble(Reason.UNREACHABLE, text.rstrip("."))


def _nothing(_text: str) -> str:
    return ""


def _right(text: str) -> str:
    """Return the right that is missing, in the server's terms: a command's name, never its arguments."""
    if text.startswith("EXEC without MULTI"):
        return "to run MULTI"
    if command := re.search(r"run the '([a-z0-9|_.-]{1,40})' command", text):
        return f"to run {command[1].upper()}"
    if re.search(r"\b(keys?|keys mentioned)\b", text) and "command or subcommand" not in text:
        return "to use a key that it needs"
    return "to use a channel" if "channel" in text else "to run a command of a script (the server's ACL LOG names it)"


def _unknown(text: str) -> str:
    command = re.search(r"command ['`]([A-Za-z|_.-]{1,40})['`]", text)
    return command[1].upper() if command else ""


_DETAILS: dict[Reason, Callable[[str], str]] = {
    Reason.NO_PERMISSION: _right,
    Reason.UNKNOWN_COMMAND: _unknown,
    # Our own words: what each Sentinel did.
    Reason.NO_SENTINEL: str,
    Reason.UNKNOWN_TO_SENTINELS: str,
    Reason.SENTINEL_PASSWORD: str,
    Reason.SENTINEL_PERMISSION: str,
}


def _opening(text: str) -> str:
    """Return the beginning of an error, up to where foreign data could follow: a quoted part or a number."""
    if text.startswith("Error running script"):  # Redis 6 puts the script's hash and line before the error
        text = text.rpartition("@user_script: ")[2].partition(": ")[2].removeprefix("-")
    return re.split(r"['\"`\d]", text, maxsplit=1)[0][:80].strip(" ,:;.(")
