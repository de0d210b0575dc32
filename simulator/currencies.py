"""The currencies that the portal knows."""

from functools import lru_cache

from simulator.replies import json_text

#: Title, symbol and culture by abbreviation.
_KNOWN = {
    "USD": ("US Dollar", "$", "US"),
    "EUR": ("Euro", "€", "EU"),
    "GBP": ("Pound Sterling", "£", "GB"),
    "CNY": ("Chinese Yuan", "¥", "CN"),
}


@lru_cache(maxsize=16)
def currency_json(abbreviation: str | None) -> str:
    """Return a currency as the portal writes it; null for none.

    Raises:
        KeyError: the portal does not know it.
    """
    if not abbreviation:
        return "null"
    title, symbol, culture = _KNOWN[abbreviation]
    return json_text(
        {
            "title": title,
            "symbol": symbol,
            "abbreviation": abbreviation,
            "cultureName": culture,
            "isConvertable": True,
            "isBasic": abbreviation in ("USD", "EUR"),
        }
    )
