"""Tables of serving: what is needed, what every number of users gets, and every device, count and format."""

from __future__ import annotations

from llmcalc.accuracy import SERVED_SPEED
from llmcalc.configuration import Configuration
from llmcalc.export.rows import Rows, Table, records, term

_USERS = tuple(2**n for n in range(13))
_OF_AN_OFFER = {
    "needed": "needed_bytes",
    "free": "free_bytes",
    "users": "requests_at_once",
    "time_between_tokens": "time_between_tokens_s",
    "energy_per_token": "energy_per_token_j",
    "price": "price_per_million_tokens",
}


def _refused(config: Configuration) -> Rows:
    """Why there is nothing to tell: what the engine refuses."""
    yield from ({"refused": str(error)} for error in config.serving.refused)


def served(config: Configuration) -> Rows:
    """What the engine's requests need of the device that needs most, term by term."""
    if config.served is None:
        yield from _refused(config)
        return
    for part in config.served.needed.parts:
        told = term(part, "memory_bytes")
        yield {**told, "source": told["source"] or None, "standing": config.serving.served_standing.label}


def served_users(config: Configuration) -> Rows:
    """How fast it is for every number of users; no times for an encoder, which writes none by one."""
    if config.served is None:
        yield from _refused(config)
        return
    found = config.serving.batches
    for n in _USERS:
        yield {
            "users": n,
            "time_between_tokens_s": None if found is None else found.between[n - 1],
            "time_to_first_token_s": None if found is None or found.first is None else found.first[n - 1],
            "tokens_per_second": None if found is None else found.rate[n - 1],
            "fits": n <= config.serving.users,
            "standing": SERVED_SPEED.label,
        }


def offers(config: Configuration) -> Rows:
    """Every device, so many of them, in every format, at the reader's price."""
    refused = config.served is None
    yield from _refused(config) if refused else records(config.serving.offers.rename(columns=_OF_AN_OFFER))


TABLES: tuple[Table, ...] = (served, served_users, offers)
