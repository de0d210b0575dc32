"""How the portal reads the parameters of a call that creates or changes something.

Names do not distinguish upper and lower case, and the path, the query string and the body end up in one collection.
A value that cannot be converted is a 400 before anything is done; what is missing is null, zero or false.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from simulator import replies as answers
from simulator.replies import PortalError, error

_INTEGER = re.compile(r"\s*[+-]?\d{1,10}\s*", re.ASCII)


class Parameters:
    """The parameters of one call.

    Args:
        query: name and value of each query parameter.
        content_type: the request's Content-Type; only JSON and forms are read.
        body: the request's body.

    Raises:
        PortalError: 400 if the body is not a JSON object.
    """

    def __init__(self, query: list[tuple[str, str]], content_type: str | None, body: bytes) -> None:
        media_type = (content_type or "").partition(";")[0].strip().lower()
        pairs: list[tuple[str, Any]] = list(query)
        if media_type == "application/json":
            pairs += _json_object(body).items() if body.strip() else []
        elif media_type == "application/x-www-form-urlencoded":
            pairs += parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        self._values: dict[str, Any] = {name.lower().removesuffix("[]"): value for name, value in pairs}

    def __contains__(self, name: str) -> bool:
        """Return whether there is a value other than null."""
        return self.value(name) is not None

    def value(self, name: str) -> Any:
        """Return a value as it came; None if it is missing or null."""
        return self._values.get(name.lower())

    def text(self, name: str) -> str | None:
        """Return a text, or None if it is missing or null."""
        value = self.value(name)
        if isinstance(value, (dict, list)):
            raise bad_format()
        if isinstance(value, bool):
            return str(value).lower()
        return None if value is None else str(value)

    def integer(self, name: str) -> int:
        """Return an integer, 0 if it is missing."""
        return to_integer(self.value(name))

    def number(self, name: str) -> float:
        """Return a number, 0 if it is missing."""
        try:
            return float(self.text(name) or 0)
        except ValueError:
            raise bad_format() from None

    def flag(self, name: str) -> bool:
        """Return a truth value, false if it is missing."""
        text = (self.text(name) or "false").strip().lower()
        if text not in ("true", "false", "1", "0"):
            raise bad_format()
        return text in ("true", "1")

    def choice(self, name: str, names: tuple[str, ...]) -> int:
        """Return the number of one of these, which can be given by its name; 0 if it is missing."""
        text = (self.text(name) or "0").strip()
        lower = [known.lower() for known in names]
        number = lower.index(text.lower()) if text.lower() in lower else to_integer(text)
        if not 0 <= number < len(names):
            raise bad_format()
        return number

    def user(self, name: str) -> str | None:
        """Return the GUID of a user, or None if it is missing or zero."""
        return to_user(self.text(name))

    def users(self, name: str) -> list[str]:
        """Return the GUIDs of users, without repetition."""
        users = [to_user(str(value)) for value in self.elements(name)]
        return list(dict.fromkeys(user for user in users if user))

    def integers(self, name: str) -> list[int]:
        """Return a list of integers."""
        return [to_integer(value) for value in self.elements(name)]

    def pairs(self, name: str) -> list[tuple[int, str]]:
        """Return a list of ``{key, value}``; those without a value are passed over, as the portal does."""
        pairs: list[tuple[int, str]] = []
        for element in self.elements(name):
            if not isinstance(element, dict):
                raise bad_format()
            lower = {str(key).lower(): value for key, value in element.items()}
            if lower.get("value") not in (None, ""):
                pairs.append((to_integer(lower.get("key")), str(lower["value"])))
        return pairs

    def elements(self, name: str) -> list[Any]:
        """Return a list as it came; a single value is a list of one, and what is missing an empty one."""
        value = self.value(name)
        if value is None or value == "":
            return []
        return value if isinstance(value, list) else [value]


def to_integer(value: object) -> int:
    """Convert a value to a 32-bit integer; null is 0.

    Raises:
        PortalError: 400 if it is none.
    """
    if value is None:
        return 0
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if isinstance(value, bool) or not _INTEGER.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise bad_format()
    return int(text)


def to_user(text: str | None) -> str | None:
    """Convert a GUID to the portal's way of writing it; None for none, or for the one that is all zeros.

    Raises:
        PortalError: 400 if it is not a GUID.
    """
    try:
        user = UUID(text.strip()) if text else UUID(int=0)
    except ValueError:
        raise bad_format() from None
    return str(user) if user.int else None


def bad_format() -> PortalError:
    """Return the refusal of a value that cannot be converted."""
    return PortalError(error(400, "Input string was not in a correct format.", answers.FORMAT))


def bad_argument() -> PortalError:
    """Return the refusal of a value that makes no sense."""
    return PortalError(error(400, "Value does not fall within the expected range.", answers.ARGUMENT))


def null_reference() -> PortalError:
    """Return what the portal answers when it trips over a value that is missing."""
    return PortalError(error(500, "Object reference not set to an instance of an object", answers.ARGUMENT_NULL))


def not_found() -> PortalError:
    """Return the refusal of a call about something that does not exist or cannot be seen."""
    return PortalError(error(404, "Item not found", answers.GENERIC))


def access_denied() -> PortalError:
    """Return the refusal of a change that the account may not make."""
    return PortalError(error(403, "Access denied.", answers.SECURITY))


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body.decode(errors="replace").removeprefix("\ufeff"))
    except (ValueError, RecursionError) as problem:
        raise PortalError(error(400, f"Unable to deserialize json: {problem}", answers.GENERIC)) from None
    if not isinstance(document, dict):
        message = "XmlNodeConverter can only convert JSON that begins with an object."
        raise PortalError(error(400, message, answers.GENERIC))
    return document
