"""Tables and terms of the section on recorded data: what was replayed and over which values, and each folded table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from parity.report.figures import ABSENT, number, show
from parity.report.replay_classes import classes_of
from parity.report.replay_view import Entry, Line, Replayed, Track, dimension_name, mapping, sequence

MAX_COVERAGE = 64
NAMED = 6
_SIDES = ("reference", "candidate", "recorded")


def played_terms(replayed: Replayed) -> list[tuple[str, str]]:
    """Return what was replayed and how, as lines of a word and what it is."""
    told = replayed.told
    dataset = mapping(told.get("dataset"))
    fps = f", {show(dataset['fps'])} frames a second" if dataset.get("fps") else ""
    terms = [
        ("dataset", f"{dataset.get('path')} ({dataset.get('kind')}{fps})"),
        ("episodes", _ranges([e for e in sequence(told.get("episodes")) if isinstance(e, int)])),
        ("frames", f"{show(told.get('frames'))} of {show(told.get('planned'))} planned"),
        ("asked", _every(told.get("every"))),
    ]
    for output, width in mapping(told.get("outputs")).items():
        steps, dims = (*sequence(width), None, None)[:2]
        parts = [_of(steps, "step"), _of(dims, "dimension")]
        terms.append((f"output {output}", f"{parts[0]} in a chunk, {parts[1]}"))
    terms += _timings(mapping(told.get("timings")))
    for name, b in mapping(told.get("observations")).items():
        b = mapping(b)
        steps = b.get("steps")
        window = f"the last {steps} frames" if isinstance(steps, int) and steps > 1 else "this frame alone"
        terms.append((f"input {name}", f"feature {b.get('feature')}, {window}"))
    padding = {"first": "the first frame, repeated", "zeros": "zeros"}
    if told.get("padding"):
        terms.append(("before an episode", padding.get(str(told["padding"]), str(told["padding"]))))
    noise = [str(n) for n in sequence(told.get("noise"))]
    terms.append(("noise", f"the same for all sides: {', '.join(noise)}" if noise else "none is injected"))
    if told.get("sampled"):
        many = f", {show(told['samples'])} samples of some observations" if told.get("samples") else ""
        terms.append(("sampled", f"{', '.join(map(str, sequence(told['sampled'])))}: compared by distribution{many}"))
    terms.append(("recorded actions", str(told.get("action") or "none")))
    return terms


def _of(count: Any, what: str) -> str:
    return f"{show(count)} {what}{'' if count == 1 else 's'}"


def _every(every: Any) -> str:
    return "at every frame" if every == 1 else f"every {show(every)} frames"


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as ranges: ``0–19, 25``."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    told = ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs[:12])
    return f"{len(numbers):,}: {told}" + (", …" if len(runs) > 12 else "")


def _timings(timings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how each side is driven; candidates that are driven like the reference are not told apart."""
    groups: dict[str, list[str]] = {}
    for side, t in timings.items():
        groups.setdefault(_timing(mapping(t)), []).append(str(side))
    if len(groups) == 1 and len(timings) > 1:
        return [("all sides", next(iter(groups)))]
    return [
        (", ".join(sides[:NAMED]) + (f" and {len(sides) - NAMED} more" if len(sides) > NAMED else ""), words)
        for words, sides in groups.items()
    ]


def _timing(t: Entry) -> str:
    steps = t.get("n_action_steps")
    parts = [f"{'one action is' if steps == 1 else f'{show(steps)} actions are'} executed before it is asked again"]
    if t.get("first"):
        parts.append(f"from step {show(t['first'])} of the chunk on")
    if t.get("ensemble") is not None:
        parts = [f"temporal ensembling with coefficient {show(t['ensemble'])}, asked at every frame"]
    if isinstance(t.get("n_obs_steps"), int) and t["n_obs_steps"] > 1:
        parts.append(f"sees {t['n_obs_steps']} observations")
    if t.get("control_hz"):
        parts.append(f"acts at {show(t['control_hz'])} Hz")
    return ", ".join(parts)


def coverage_shown(replayed: Replayed) -> dict[str, Any] | None:
    """Return over which values of the observations parity was shown; the same for all candidates."""
    shown = next((c for t in replayed.tracks if (c := t.exhibit("coverage", "coverage"))), None)
    rows = [r for r in sequence(mapping(shown).get("rows")) if isinstance(r, Mapping)]
    if not rows:
        return None
    features: dict[str, list[Entry]] = {}
    for r in rows:
        features.setdefault(str(r.get("feature")), []).append(r)
    ordered = sorted(rows, key=lambda r: _least(r)[0])
    return {
        "words": [_covered(name, own) for name, own in features.items()],
        "rows": [_coverage(r) for r in ordered[:MAX_COVERAGE]],
        "more": max(len(rows) - MAX_COVERAGE, 0),
    }


def _least(r: Entry) -> tuple[float, Entry]:
    """Return the smallest share of a wider range that was shown, and that range."""
    known = [(s, mapping(w)) for w in sequence(r.get("of")) if (s := number(mapping(w).get("share"))) is not None]
    return min(known, key=lambda pair: pair[0], default=(math.inf, {}))


def _covered(name: str, rows: Sequence[Entry]) -> str:
    constant = sum(bool(r.get("constant")) for r in rows)
    words = f"{name}: {len(rows):,} element{'' if len(rows) == 1 else 's'}"
    words += f", {constant} of them constant in the replayed frames" if constant else ""
    worst = min(rows, key=lambda r: _least(r)[0])
    share, wider = _least(worst)
    if math.isfinite(share):
        words += f"; least of all {worst.get('element')}: {100 * share:.0f} % of the {wider.get('words')} "
        words += f"{show(wider.get('low'))} to {show(wider.get('high'))}".rstrip()
    return f"{words}."


def _coverage(r: Entry) -> list[str]:
    share, wider = _least(r)
    of = f"{wider.get('words')} {show(wider.get('low'))} … {show(wider.get('high'))}" if wider else ABSENT
    told = f"{100 * share:.0f} %" if math.isfinite(share) else ABSENT
    seen = f"{show(r.get('low'))} … {show(r.get('high'))}"
    return [str(r.get("element")), "constant" if r.get("constant") else seen, told, of]


Table = dict[str, Any]


def details_of(t: Track, most: int) -> list[Table]:
    """Return the folded tables of a track: form, smoothness, distribution, samples, recording, dependence, classes."""
    order = t.lines[:most]
    found = [_form(t, order), _smoothness(t, order), _distribution(t, order), _samples(t, order)]
    found += [_recorded(t, order), _dependence(t, most), classes_of(t)]
    return [table for table in found if table is not None]


def _table(title: str, words: str, header: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> Table:
    """Return a table; its first ``text`` columns are text, the others numbers."""
    return {"title": title, "words": words, "header": list(header), "rows": [list(r) for r in rows], "text": text}


def _column(shown: Entry, name: str) -> Sequence[Any]:
    return sequence(shown.get(name))


def _at(values: Sequence[Any], place: int, digits: int = 3) -> str:
    return show(values[place], digits) if place < len(values) else ABSENT


def _by_dimension(order: Sequence[Line], columns: Sequence[Sequence[Any]]) -> list[list[str]]:
    return [[line.label, *(_at(c, line.place) for c in columns)] for line in order]


def _form(t: Track, order: Sequence[Line]) -> Table | None:
    shown = t.exhibit("structure", "regression")
    columns = [_column(shown, k) for k in ("gain", "offset", "correlation")]
    if not columns[0]:
        return None
    words = "The candidate as gain × the reference + offset: 1 and 0 where they are the same."
    return _table(
        "Gain and offset", words, ["dimension", "gain", "offset", "correlation"], _by_dimension(order, columns)
    )


def _smoothness(t: Track, order: Sequence[Line]) -> Table | None:
    shown = t.exhibit("seams", "smoothness")
    jump, step = "jump where a chunk begins", "step inside chunks"
    sides = [s for s in _SIDES if any(number(v) for v in _column(shown, f"{s} {step}"))]
    columns = [_column(shown, f"{s} {k}") for k in (jump, step) for s in sides]
    if not columns or not columns[0]:
        return None
    per = str(shown.get("per") or "frame")
    more = [f"{s} jerk" for s in sides if _column(shown, f"{s} jerk")]
    columns += [_column(shown, k) for k in more]
    header = ["dimension", *(f"jump, {s}" for s in sides), *(f"step, {s}" for s in sides), *more]
    words = "RMS: how far an action is from the one before, where a new chunk begins (jump) and inside chunks (step)."
    words += f" Jerk per {per}³."
    return _table("Seams between chunks, smoothness", words, header, _by_dimension(order, columns))


def _distribution(t: Track, order: Sequence[Line]) -> Table | None:
    shown = t.exhibit("distribution", "distribution")
    kinds = [k for k in ("mean_shift", "variance_ratio", "wasserstein") if mapping(shown.get(k)).get("value")]
    if not kinds:
        return None
    data = mapping(shown.get("dataset"))
    columns = [_column(mapping(shown.get(k)), part) for k in kinds for part in ("value", "p")]
    header = ["dimension", *(h for k in kinds for h in (k.replace("_", " "), "p"))]
    for side in ("reference", "candidate"):
        if own := _column(mapping(data.get(side)), "wasserstein"):
            columns.append(own)
            header.append(f"{side} from recorded")
    decides = "They decide: the policy samples." if shown.get("decides") else "Evidence only: single actions decide."
    words = f"Executed actions of {show(shown.get('frames'))} frames, {show(shown.get('episodes'))} independent groups"
    words += f" of episodes. {decides}"
    return _table("Distributions", words, header, _by_dimension(order, columns))


def _samples(t: Track, order: Sequence[Line]) -> Table | None:
    shown = t.exhibit("samples", "samples")
    kinds = [k for k in ("mean", "variance_ratio", "energy") if mapping(shown.get(k)).get("value")]
    if not kinds:
        return None
    spread = mapping(shown.get("spread"))
    columns = [_column(spread, s) for s in ("reference", "candidate")]
    columns += [_column(mapping(shown.get(k)), part) for k in kinds for part in ("value", "p")]
    header = ["dimension", "spread, reference", "spread, candidate"]
    header += [h for k in kinds for h in (k.replace("_", " "), "p")]
    words = f"{show(shown.get('observations'))} observations, {show(shown.get('samples'))} samples of each side."
    return _table("Samples of the same observation", words, header, _by_dimension(order, columns))


def _recorded(t: Track, order: Sequence[Line]) -> Table | None:
    shown = t.exhibit("open_loop", "open_loop")
    each = {d.get("dimension"): d for d in _column(shown, "dimensions") if isinstance(d, Mapping) and d.get("n")}
    if not each:
        return None
    kinds = ("mse_reference", "mse_candidate", "mse_between")
    rows = [
        [
            line.label,
            *(show(_root(each[line.place].get(k))) for k in kinds),
            *(_percent(each[line.place].get(f"explained_{s}")) for s in ("reference", "candidate")),
        ]
        for line in order
        if line.place in each
    ]
    middle = [_median([number(d.get(f"explained_{s}")) for d in each.values()]) for s in ("reference", "candidate")]
    words = "RMS of action less recorded action, and how much of the recorded actions' variance each side explains"
    words += f": the reference {_percent(middle[0])}, the candidate {_percent(middle[1])} (median of the dimensions)."
    header = ["dimension", "reference", "candidate", "between them", "reference explains", "candidate explains"]
    return _table("Against the recorded actions", words, header, rows)


def _root(value: Any) -> float | None:
    x = number(value)
    return None if x is None or x < 0 else math.sqrt(x)


def _percent(value: Any) -> str:
    x = number(value)
    return (
        ABSENT if x is None or not math.isfinite(x) else f"{100 * x:.0f} %" if abs(x) < 10 else f"{show(100 * x, 2)} %"
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = sorted(v for v in values if v is not None and not math.isnan(v))
    return known[len(known) // 2] if known else None


def _dependence(t: Track, most: int) -> Table | None:
    shown = t.exhibit("dependence", "dependence")
    rows = [r for r in _column(shown, "rows") if isinstance(r, Mapping)]
    if not rows:
        return None
    features: dict[str, list[Entry]] = {}
    for r in rows:
        features.setdefault(str(r.get("feature")), []).append(r)
    labels = {line.place: line.label for line in t.lines}
    told = [_reaction(t, name, own, labels) for name, own in list(features.items())[:most]]
    left = [str(n) for n in _column(shown, "not_changed")]
    words = "Each feature was changed at the same frames: how far the actions of both sides then moved, at most."
    words += f" Not changed: {', '.join(left[:NAMED])}." if left else ""
    header = ["feature", "says", "most in", "reference", "candidate", "gain"]
    return _table("Dependence on inputs", words, header, told, text=3)


def _reaction(t: Track, name: str, rows: Sequence[Entry], labels: Mapping[int, str]) -> list[str]:
    counts: dict[str, int] = {}
    for r in rows:
        counts[str(r.get("says"))] = counts.get(str(r.get("says")), 0) + 1
    says = "; ".join(f"{k} ({n})" if len(counts) > 1 else k for k, n in counts.items())
    worst = max(rows, key=lambda r: max(number(r.get("reference")) or 0.0, number(r.get("candidate")) or 0.0))
    place = worst.get("dimension")
    label = labels.get(place, str(place)) if isinstance(place, int) else None
    figures = [show(worst.get(k)) for k in ("reference", "candidate", "gain")]
    return [name, says, dimension_name(t.output, label), *figures]
