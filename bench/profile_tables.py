"""The figures of `python -m bench profile`, and their tables: one column for each batch size."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.script_times import ScriptTime
from bench.section import table
from bench.stacks import Stack, by_group, own_shares, shares_with_callees

_OURS = ("config", "jobs", "worker")
_SCRIPTS_SHOWN = 8  #: of those that take a microsecond per call or more


@dataclass(frozen=True)
class Profile:
    """What a call costs at one batch size; times are CPU microseconds per call."""

    batch: int
    calls: int
    bare_us: float
    worker_us: float
    redis_us: float
    samples: int  #: what the division of the worker's time rests on
    groups_us: Mapping[str, float]  #: the worker's time, by library and part
    own_us: Mapping[str, float]  #: the same, by the function that was running
    with_callees_us: Mapping[str, float]  #: by function, with all that it calls
    scripts: Mapping[str, Mapping[str, float]]  #: by script: its runs per call, and microseconds of one run

    @property
    def scripts_us(self) -> dict[str, float]:
        """Redis's time for a call, by script."""
        return {name: one["runs_per_call"] * one["median_us"] for name, one in self.scripts.items()}


def profile_of(
    *,
    batch: int,
    calls: int,
    bare_us: float,
    worker_us: float,
    redis_us: float,
    scripts: Mapping[str, ScriptTime],
    stacks: Mapping[Stack, int],
) -> Profile:
    """Divide the worker's time by what a sampler saw, and that of Redis by script.

    Args:
        batch: Contacts per call.
        calls: Calls of the run in which scripts were timed.
        bare_us: CPU time of the bare loop per call.
        worker_us: CPU time of the worker per call, without a sampler.
        redis_us: CPU time of Redis per call.
        scripts: What each script took.
        stacks: What a sampler saw of the worker.
    """

    def times(shares: Mapping[str, float]) -> dict[str, float]:
        return {name: share * worker_us for name, share in shares.items()}

    return Profile(
        batch=batch,
        calls=calls,
        bare_us=bare_us,
        worker_us=worker_us,
        redis_us=redis_us,
        samples=sum(stacks.values()),
        groups_us=times(by_group(stacks)),
        own_us=times(own_shares(stacks)),
        with_callees_us=times(shares_with_callees(stacks)),
        scripts={
            name: {"runs_per_call": one.runs / calls, "median_us": one.median_us} for name, one in scripts.items()
        },
    )


def tables(profiles: Sequence[Profile], rows: int) -> list[str]:
    """Return the tables as Markdown, each after a line that says what it shows; by function with so many rows."""
    batches = [f"{each.batch} contacts" for each in profiles]
    ours = [
        {name: time for name, time in each.with_callees_us.items() if name.split(".")[0] in _OURS} for each in profiles
    ]
    columns = ("contacts per call", "bare loop", "worker", "worker beyond the bare loop", "Redis")
    return [
        "CPU µs per call:",
        table(columns, [_totals(each) for each in profiles]),
        "The worker by library and part of ours, in µs per call:",
        table(("whose time", *batches), _rows(profiles, [each.groups_us for each in profiles], rows)),
        "The worker by function of ours, with all that it calls:",
        table(("function", *batches), _rows(profiles, ours, rows)),
        "The worker by the function that was running; what it calls in C counts as its own:",
        table(("function", *batches), _rows(profiles, [each.own_us for each in profiles], rows)),
        "Redis by script: runs per call x µs of a run (median) = µs per call.",
        table(("script", *batches), _script_rows(profiles)),
    ]


def _totals(profile: Profile) -> list[str]:
    beyond_us = profile.worker_us - profile.bare_us
    times = (profile.bare_us, profile.worker_us, beyond_us, profile.redis_us)
    return [str(profile.batch), *(f"{time:,.0f}" for time in times)]


def _rows(profiles: Sequence[Profile], times: Sequence[Mapping[str, float]], most: int) -> list[list[str]]:
    """Return a row for each of the names that take most, with a column for each profile."""
    return [
        [name, *(_share(each.get(name, 0.0), of.worker_us) for each, of in zip(times, profiles, strict=True))]
        for name in _largest(times, most)
    ]


def _largest(times: Sequence[Mapping[str, float]], most: int) -> list[str]:
    names: Iterable[str] = dict.fromkeys(name for each in times for name in each)
    return sorted(names, key=lambda name: -sum(each.get(name, 0.0) for each in times))[:most]


def _share(time_us: float, whole_us: float) -> str:
    return f"{time_us:,.0f} ({time_us / whole_us:.0%})"


def _script_rows(profiles: Sequence[Profile]) -> list[list[str]]:
    times = [each.scripts_us for each in profiles]
    names = [name for name in _largest(times, _SCRIPTS_SHOWN) if max(each.get(name, 0.0) for each in times) >= 1]
    rows = [[name, *(_script_cell(each, name) for each in profiles)] for name in names]
    others = [sum(each.values()) - sum(each.get(name, 0.0) for name in names) for each in times]
    left = [profile.redis_us - sum(each.values()) for profile, each in zip(profiles, times, strict=True)]
    return [
        *rows,
        ["other scripts", *(f"{time:,.1f}" for time in others)],
        ["connections, single commands, housekeeping", *(f"{time:,.0f}" for time in left)],
    ]


def _script_cell(profile: Profile, name: str) -> str:
    if name not in profile.scripts:
        return "-"
    one = profile.scripts[name]
    return f"{one['runs_per_call']:.2f} x {one['median_us']:,.0f} = {profile.scripts_us[name]:,.0f}"
