"""Fit the constants of serving speed on the measured runs, and say how well they predict what they were not fitted on.

    python tests/oracle/fit_speed.py            print constants, their spread, and errors in and out of sample
    python tests/oracle/fit_speed.py --write    also write llmcalc/accuracy/speed_fits.jsonl

The constants make the median of |log(predicted / measured)| small: a run counts by one over the square root of how many
runs its combination of model, device, engine and precision has. The constants of a step of decoding are fitted first,
then, with these, those of the wait for the first token. Then the same again without each combination.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from llmcalc.accuracy import speed as measured
from llmcalc.accuracy.speed import TIMES, ServedRun, errors_of, fitted_runs, predicted
from llmcalc.quantity import Quantity
from llmcalc.serving.speed import formulas as of
from llmcalc.serving.speed.constants import CONSTANTS, OF_STEP, OF_WAIT

WRITTEN = Path(measured.__file__).parent / "speed_fits.jsonl"
Columns = dict[str, np.ndarray]


def value(root: Quantity, *path: str) -> float:
    """What went in, from quantity to quantity; 0 where there is no such part."""
    for name in path:
        if name not in root.inputs:
            return 0.0
        root = root.inputs[name]
    return float(root.value)


def terms_of(rows: Sequence[ServedRun]) -> Columns:
    """What each run's prediction is made of, without the constants."""
    found: dict[str, list[float]] = {}
    for row in rows:
        speed = predicted(row)
        step, first = speed.step, speed.time_to_first_token
        assert first is not None
        terms = {
            "reading_seconds": value(step, "work_time", "reading_seconds"),
            "arithmetic_seconds": value(step, "work_time", "arithmetic_seconds"),
            "prompt_seconds": value(step, "prompts_time", "prompt_seconds"),
            "message_seconds": value(step, "link_time", "message_seconds"),
            "n_kernels": value(step, "kernel_time", "n_kernels"),
            "n_mixtures": value(step, "routing_time", "n_mixtures"),
            "rank_users": value(step, "users_time", "rank_users"),
            "own_reading": value(first, "prompt_time", "weights_time", "reading_seconds"),
            "own_arithmetic": value(first, "queued_time", "prompts_time", "prompt_seconds"),
            "own_messages": value(first, "queued_time", "link_time", "message_seconds"),
            "sglang": row.engine == "sglang",
            "prompts_before": value(first, "prompts_before"),
            "waited_reading": value(first, "waited_time", "work_time", "reading_seconds"),
            "waited_arithmetic": value(first, "waited_time", "work_time", "arithmetic_seconds"),
            "waited_messages": value(first, "waited_time", "link_time", "message_seconds"),
            "vllm": row.engine == "vllm",
        }
        for name, number in terms.items():
            found.setdefault(name, []).append(number)
    return {name: np.array(column, dtype=float) for name, column in found.items()}


def fixed(t: Columns, c: Columns) -> np.ndarray:
    """What a pass takes however few tokens there are."""
    kernels = of.kernel_time.function(n_kernels=t["n_kernels"], kernel_seconds=c["kernel_seconds"])
    return kernels + of.routing_time.function(n_mixtures=t["n_mixtures"], mixture_seconds=c["mixture_seconds"])


def step_of(t: Columns, c: Columns) -> np.ndarray:
    """A step of decoding, by the same formulas."""
    shares = {name: c[name] for name in ("bandwidth_share", "compute_share")}
    return (
        of.work_time.function(
            reading_seconds=t["reading_seconds"], arithmetic_seconds=t["arithmetic_seconds"], **shares
        )
        + of.prompts_time.function(prompt_seconds=t["prompt_seconds"], compute_share=c["compute_share"])
        + of.link_time.function(message_seconds=t["message_seconds"], link_share=c["link_share"])
        + fixed(t, c)
        + of.users_time.function(rank_users=t["rank_users"], sequence_seconds=c["sequence_seconds"])
    )


def waited_of(t: Columns, c: Columns) -> np.ndarray:
    """A step that a request waits for: of decoding alone, before it has a cache."""
    own = {"reading_seconds": "waited_reading", "arithmetic_seconds": "waited_arithmetic"}
    own |= {"message_seconds": "waited_messages"}
    none = {"prompt_seconds": np.zeros_like(t["prompt_seconds"])}
    return step_of(t | {name: t[column] for name, column in own.items()} | none, c)


def first_of(t: Columns, c: Columns) -> np.ndarray:
    """The wait for the first token, by the same formula."""
    queued = of.prompts_time.function(prompt_seconds=t["own_arithmetic"], compute_share=c["compute_share"])
    queued = queued + of.link_time.function(message_seconds=t["own_messages"], link_share=c["link_share"])
    read = of.weights_time.function(reading_seconds=t["own_reading"], bandwidth_share=c["bandwidth_share"])
    return of.time_to_first_token.function(
        engine_factor=c["sglang"] ** t["sglang"] * c["vllm"] ** t["vllm"],
        prompt_time=read + fixed(t, c) + queued,
        queued_time=queued,
        rank_users=t["rank_users"],
        waited_time=waited_of(t, c),
        prompts_before=t["prompts_before"],
        **{name: c[name] for name in ("own_prompts", "queued_share", "waited_steps")},
    )


def fit(
    predict: Callable[[Columns, Columns], np.ndarray],
    names: Sequence[str],
    start: Columns,
    terms: Columns,
    seconds: np.ndarray,
    weights: np.ndarray,
) -> Columns:
    """The constants of those names that make the weighted mean of |log(predicted / measured)| least: least squares,
    weighted again and again by one over the error, in the logarithms of the constants."""
    at, target = np.log([float(start[name]) for name in names]), np.log(seconds)

    def logs(x: np.ndarray) -> np.ndarray:
        return np.log(predict(terms, start | dict(zip(names, np.exp(x), strict=True))))

    def loss(x: np.ndarray) -> float:
        return float(weights @ np.abs(logs(x) - target))

    best, damping = loss(at), 1.0
    for _ in range(100):
        now = logs(at)
        slopes = np.stack([(logs(at + 1e-4 * unit) - now) / 1e-4 for unit in np.eye(len(at))], axis=1)
        pull = weights / np.maximum(np.abs(target - now), 0.02)
        normal, gradient = slopes.T @ (slopes * pull[:, None]), slopes.T @ ((target - now) * pull)
        for _ in range(8):
            ridge = damping * np.diag(np.diag(normal) + 1e-9 * pull.sum())
            tried = at + np.clip(np.linalg.solve(normal + ridge, gradient), -1, 1)
            if (found := loss(tried)) < best - 1e-9:
                break
            damping *= 4
        else:
            break
        gained, at, best, damping = best - found, tried, found, max(damping / 3, 1e-4)
        if gained < 1e-6 * best:
            break
    return start | dict(zip(names, np.exp(at), strict=True))


def weights_of(rows: Sequence[ServedRun]) -> np.ndarray:
    """One over the square root of how many runs a run's combination has."""
    counts = Counter(row.combination for row in rows)
    return np.array([counts[row.combination] ** -0.5 for row in rows])


def fitted(rows: Sequence[ServedRun], terms: Columns) -> Columns:
    """All constants, fitted on these runs."""
    weights, c = weights_of(rows), {name: np.float64(row.value) for name, row in CONSTANTS.items()}
    for predict, names, what in ((step_of, OF_STEP, TIMES[0]), (first_of, OF_WAIT, TIMES[1])):
        c = fit(predict, names, c, terms, np.array([getattr(row, what) for row in rows]), weights)
    return c


def without_each(rows: Sequence[ServedRun], terms: Columns, of_row: Callable[[ServedRun], tuple[str, ...]]) -> dict:
    """The constants fitted without the runs of each kind."""
    found = {}
    for kind in dict.fromkeys(map(of_row, rows)):
        kept = np.array([of_row(row) != kind for row in rows])
        others = [row for row, keep in zip(rows, kept, strict=True) if keep]
        found[kind] = fitted(others, {name: column[kept] for name, column in terms.items()})
    return found


def told(what: str, rows: Sequence[ServedRun], found: np.ndarray) -> str:
    """The errors of these predictions."""
    e = errors_of(found / np.array([getattr(row, what) for row in rows]) - 1)
    return f"{e.count:5} runs, median {e.median:6.1%}, p90 {e.p90:6.1%}, predicted/measured {e.bias:.2f}"


def main() -> None:
    rows = list(fitted_runs())
    terms = terms_of(rows)
    c = fitted(rows, terms)
    ways = {"in sample": {}, "combination left out": without_each(rows, terms, lambda row: row.combination)}
    ways["model left out"] = without_each(rows, terms, lambda row: (row.model,))
    by_combination = ways["combination left out"]
    for name, constant in CONSTANTS.items():
        ends = [float(f([fit[name] for fit in by_combination.values()])) for f in (min, max)]
        print(f'("{name}", "{constant.id}", {c[name]:.3g}, {ends[0]:.3g}, {ends[1]:.3g}),')
    for predict, what in zip((step_of, first_of), TIMES, strict=True):
        print(f"\n{what}")
        for way, fits in ways.items():
            key = {"model left out": lambda row: (row.model,)}.get(way, lambda row: row.combination)
            chosen = [fits.get(key(row), c) for row in rows]
            each = {name: np.array([float(one[name]) for one in chosen]) for name in c}
            found = predict(terms, each)
            print(f"  {way:22} {told(what, rows, found)}")
            if way != "combination left out":
                continue
            ratio = np.array([getattr(row, what) for row in rows]) / found
            print(f"  {'spread':22} {np.percentile(ratio, 10):.3g}, {np.percentile(ratio, 90):.3g}")
            for name in ("engine", "device", "precision", "model"):
                for kind in sorted({getattr(row, name) for row in rows}):
                    some = np.array([getattr(row, name) == kind for row in rows])
                    alike = [row for row in rows if getattr(row, name) == kind]
                    print(f"    {kind or '16 bits':18} {told(what, alike, found[some])}")
            for i in np.argsort(-np.abs(np.log(ratio)))[:12]:
                row = rows[i]
                size = f"{row.input_tokens}/{row.output_tokens} × {row.concurrency:g}, tp {row.tensor_parallel}"
                print(f"    {1 / ratio[i]:5.2f} × {getattr(row, what):.4f} s: {' '.join(row.combination)} {size}")
    if "--write" in sys.argv:
        fits = (
            {"without": key, "constants": {name: float(f"{number:.6g}") for name, number in fit.items()}}
            for key, fit in by_combination.items()
        )
        WRITTEN.write_text("".join(f"{json.dumps(fit)}\n" for fit in fits), "utf-8")


if __name__ == "__main__":
    main()
