"""Which encoding of an answer the client wants (RFC 9110, section 12.5.3)."""

from collections.abc import Iterable


def wants_gzip(accept_encoding: Iterable[str]) -> bool:
    """Check whether to send gzip: only where it is asked for, and not liked less than no encoding.

    Args:
        accept_encoding: the values of all `Accept-Encoding` headers. What cannot be read in them is not accepted,
            because no encoding is always right.
    """
    weights: dict[str, float] = {}
    for part in ",".join(accept_encoding).lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights[name.removeprefix("x-")] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
