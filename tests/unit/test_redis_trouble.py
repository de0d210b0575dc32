"""Every way in which Redis fails has its own word, and no error repeats what was sent."""

import ssl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions
from redis._parsers.base import BaseParser

from config.masking import mask_text
from jobs.store.sentinel import NoSentinel, SentinelLogin, SentinelRights, UnknownToSentinels
from jobs.store.trouble import Reason, trouble_of, word_for
from tests.support.documents import ROOT

_IN_SCRIPT_OF_6 = "ERR Error running script (call to f_5e4ac1823ff7): @user_script:1: @user_script: 1: "
_STOPPED = "is configured to save RDB snapshots, but it's currently unable to persist to disk."

#: What servers send, from Redis 6.2.5, Redis 7.0.15, Redis 8.2.3 and Valkey 9.1.2.
SENT = {
    "OOM command not allowed when used memory > 'maxmemory'.": Reason.OUT_OF_MEMORY,
    "OOM command not allowed when used memory > 'maxmemory'. script: 5e4ac, on @user_script:1.": Reason.OUT_OF_MEMORY,
    f"{_IN_SCRIPT_OF_6}-OOM command not allowed when used memory > 'maxmemory'.": Reason.OUT_OF_MEMORY,
    "READONLY You can't write against a read only replica.": Reason.READ_ONLY,
    f"{_IN_SCRIPT_OF_6}-READONLY You can't write against a read only replica.": Reason.READ_ONLY,
    f"MISCONF Valkey {_STOPPED}": Reason.CANNOT_PERSIST,
    f"{_IN_SCRIPT_OF_6}-MISCONF Redis {_STOPPED}": Reason.CANNOT_PERSIST,
    "MISCONF Errors writing to the AOF file: No space left on device": Reason.CANNOT_PERSIST,
    "NOREPLICAS Not enough good replicas to write.": Reason.NO_REPLICAS,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": Reason.MASTER_DOWN,
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": Reason.BUSY,
    "LOADING Redis is loading the dataset in memory": Reason.LOADING,
    "NOAUTH Authentication required.": Reason.WRONG_PASSWORD,
    "WRONGPASS invalid username-password pair or user is disabled.": Reason.WRONG_PASSWORD,
    "ERR max number of clients reached": Reason.FULL_HOUSE,
    "ERR DB index is out of range": Reason.NO_DATABASE,
    "MOVED 3999 127.0.0.1:6381": Reason.CLUSTER,
    "CLUSTERDOWN The cluster is down": Reason.CLUSTER,
    "NOTSTAGED the contact IDs of job 7 are not in Redis any more": Reason.REFUSES,
    "WRONGTYPE Operation against a key holding the wrong kind of value": Reason.REFUSES,
}

#: What servers say about a missing right, and how it is reported.
RIGHTS = {
    "NOPERM this user has no permissions to run the 'hset' command or its subcommand": "to run HSET",
    "NOPERM User u has no permissions to run the 'config|get' command": "to run CONFIG|GET",
    "NOPERM this user has no permissions to access one of the keys used as arguments": "to use a key that it needs",
    "ERR EXEC without MULTI": "to run MULTI",
    "NOPERM No permissions to access a key": "to use a key that it needs",
    "NOPERM No permissions to access a channel": "to use a channel",
    "ERR ACL failure in script: User u has no permissions to run the 'hset' command script: on @user_script:1.": (
        "to run HSET"
    ),
    "ERR ACL failure in script: No permissions to access a key script: on @user_script:1.": (
        "to use a key that it needs"
    ),
    f"{_IN_SCRIPT_OF_6}The user executing the script can't run this command or subcommand": (
        "to run a command of a script (the server's ACL LOG names it)"
    ),
    "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments "
    "script: f9dc, on @user_script:1.": "to use a key that it needs",
}


def received(line: str) -> Exception:
    """Return what redis-py makes of a line that a server sends."""
    error: Exception = BaseParser.parse_error(line)
    return error


@pytest.mark.parametrize(("line", "reason"), SENT.items(), ids=[line[:40] for line in SENT])
def test_what_a_server_says_has_its_word(line: str, reason: Reason) -> None:
    assert trouble_of(received(line)).reason is reason


@pytest.mark.parametrize(("line", "right"), RIGHTS.items(), ids=[line[:60] for line in RIGHTS])
def test_a_missing_right_is_named(line: str, right: str) -> None:
    trouble = trouble_of(received(line))
    assert (trouble.reason, trouble.detail) == (Reason.NO_PERMISSION, right)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exceptions.ConnectionError("Error 111 connecting to 10.0.0.1:6379. Connection refused."), Reason.UNREACHABLE),
        (exceptions.ConnectionError("Connection closed by server."), Reason.UNREACHABLE),
        (exceptions.TimeoutError("Timeout connecting to server"), Reason.UNREACHABLE),
        (exceptions.TimeoutError("Timeout reading from 10.0.0.1:6379"), Reason.STALLED),
        (TimeoutError(), Reason.STALLED),
        (TimeoutError(110, "Connection timed out"), Reason.UNREACHABLE),
        (ConnectionResetError(104, "Connection reset by peer"), Reason.UNREACHABLE),
        (
            exceptions.ConnectionError("Error 1 connecting to h:6379. [SSL: WRONG_VERSION_NUMBER] wrong version."),
            Reason.TLS,
        ),
        (exceptions.InvalidResponse('Protocol error, got "H" as reply type byte'), Reason.NOT_REDIS),
        (NoSentinel("10.0.0.1:26379 connection refused"), Reason.NO_SENTINEL),
        (UnknownToSentinels("10.0.0.1:26379 does not know the name"), Reason.UNKNOWN_TO_SENTINELS),
        (SentinelLogin("10.0.0.1:26379 does not accept the user name or password"), Reason.SENTINEL_PASSWORD),
        (SentinelRights("10.0.0.1:26379 does not let this user ask"), Reason.SENTINEL_PERMISSION),
    ],
    ids=repr,
)
def test_what_keeps_a_connection_from_working_has_its_word(error: Exception, reason: Reason) -> None:
    trouble = trouble_of(error)
    assert trouble.reason is reason
    assert word_for(error) == reason.word


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", Reason.CLIENT_CERTIFICATE),
        ("TLSV1_ALERT_UNKNOWN_CA", Reason.CLIENT_CERTIFICATE),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", Reason.CLIENT_CERTIFICATE),
        ("WRONG_VERSION_NUMBER", Reason.TLS),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", Reason.TLS),
    ],
)
def test_a_server_that_refuses_the_clients_certificate_is_told_from_other_trouble_with_tls(
    word: str, reason: Reason
) -> None:
    cause = ssl.SSLError(1, f"[SSL: {word}] (_ssl.c:1)")
    cause.reason = word
    error = exceptions.ConnectionError(f"Error while reading from h:6379 : {cause.args}")
    error.__context__ = cause
    assert trouble_of(error).reason is reason


def test_an_error_that_is_its_own_cause_has_its_word_as_well() -> None:
    error = exceptions.ConnectionError("Connection closed by server.")
    error.__context__ = outer = exceptions.ConnectionError("again")
    outer.__cause__ = error
    assert trouble_of(error).reason is Reason.UNREACHABLE


def test_only_what_cannot_be_reached_is_said_to_be_out_of_reach() -> None:
    for line, reason in SENT.items():
        assert "reached" not in str(trouble_of(received(line))), reason


def test_an_unreachable_server_is_told_with_its_address_and_cause_once() -> None:
    error = exceptions.ConnectionError("Error 111 connecting to 10.0.0.1:6379. Connection refused.")
    assert str(trouble_of(error)) == (
        "Redis cannot be reached: Error 111 connecting to 10.0.0.1:6379. Connection refused; "
        "check that it is running, and that redis.url is right"
    )


def test_what_is_not_an_error_of_redis_is_named_by_its_class() -> None:
    assert word_for(KeyError("a@b.example")) == "KeyError"


def test_words_and_sentences_are_unique() -> None:
    assert len({reason.word for reason in Reason}) == len({reason.what for reason in Reason}) == len(Reason)


SECRETS = st.text(min_size=4, max_size=40).map(lambda text: f"zq{text}zq")


@given(
    line=st.sampled_from([*SENT, *RIGHTS, "ERR unknown command 'NOSUCH', with args beginning with: 'zz' 'x' "]),
    arguments=st.lists(SECRETS, min_size=1, max_size=5),
)
def test_a_commands_arguments_are_in_no_sentence_and_in_no_log_line(line: str, arguments: list[str]) -> None:
    sent = " ".join(arguments)
    error = received(line)
    reason = trouble_of(error).reason
    error.args = (f"Command # 1 (HSET crm-sweep:staging:01 0 {sent}) of pipeline caused error: {error.args}",)
    told = str(trouble_of(error))
    assert "zq" not in told
    assert "staging" not in told
    assert trouble_of(error).reason is reason
    assert sent not in mask_text(f"Traceback …\n{type(error).__name__}: {error}")
    assert "zq" not in mask_text(str(error))


@given(st.lists(SECRETS, min_size=1, max_size=4))
def test_an_unknown_command_is_told_without_its_arguments(arguments: list[str]) -> None:
    quoted = " ".join(f"'{argument}'" for argument in arguments)
    error = received(f"ERR unknown command 'EVALSHA', with args beginning with: {quoted} ")
    assert str(trouble_of(error)).startswith("Redis does not know a command that is needed, or forbids it: EVALSHA;")
    one_line = f"{error}".replace("\n", " ").replace("\r", " ")  # as a server sends it
    assert "zq" not in mask_text(msgspec.json.encode(one_line).decode())


def test_the_documents_have_every_reason() -> None:
    table = (
        (ROOT / "docs" / "operations.md").read_text().partition("\n## When Redis refuses\n")[2].partition("\n## ")[0]
    )
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    assert rows == [
        f"| `{reason.word}` | {reason.what} | {reason.to_do} | {'yes' if reason.passes else ''} |" for reason in Reason
    ]
