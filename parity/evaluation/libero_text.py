"""Text logs of LIBERO evaluations, as openpi, OpenVLA and what was made from them print them.

Source: ``examples/libero/main.py`` of Physical-Intelligence/openpi and ``experiments/robot/libero/run_libero_eval.py``
of openvla/openvla (and openvla-oft): for each episode ``Task: <words>``, ``Starting episode <k>...``,
``Success: True|False``, then running totals; at the end ``Total success rate: <share>``. Episode k of a task begins in
the suite's initial state k, so that is its start. Logging prefixes (``INFO:root:``) and progress bars are passed over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from parity.artifact import Artifact
from parity.contract.text import read_text
from parity.evaluation.model import Claim, Episode, EvaluationLog
from parity.evaluation.registry import read_head

MAX_BYTES = 64 << 20
_ROUNDED = 5.1e-5  # where a share is printed with four digits
_WHAT = "Task|Success|Task suite|# episodes completed so far|(?:Total|Overall) success rate"
_LOGGED = re.compile(rf"(?:^|[\]: ])(?P<what>{_WHAT}): (?P<value>.+)$")
_BAR = re.compile(r"\s{3,}\||[▏▎▍▌▋▊▉█]")  # a progress bar that ran over the line


class Reader:
    """Reads a text log, line by line."""

    rank = 50

    def matches(self, artifact: Artifact) -> bool:
        """Whether it is text whose beginning tells of a finished episode."""
        if artifact.kind not in ("other", "yaml", "json"):  # a line of a log may begin with "["
            return False
        head = read_head(artifact.path)
        return b"# episodes completed so far:" in head and b"Success: " in head and b"Task: " in head

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return the log. An episode that began and has no outcome is not there."""
        lines = _lines(read_text(artifact.path, MAX_BYTES))
        task, seen, episodes, suite, total, share = "", Counter[str](), [], None, None, None
        for what, value in lines:
            if what == "Task":
                task = value
            elif what == "Task suite":
                suite = value
            elif what == "Success":
                seen[task] += 1
                start = f"initial state {seen[task] - 1}"
                episodes.append(Episode(task=task, start=start, success=value.lower() == "true"))
            elif what == "# episodes completed so far":
                total = _first_number(value)
            else:
                share = _first_number(value)
        said = [Claim("# episodes completed so far", total, "count")] if total is not None else []
        said += [Claim("total success rate", share, "success", rounding=_ROUNDED)] if share is not None else []
        facts = {} if suite is None else {"suite": suite}
        return EvaluationLog(str(artifact.path), "LIBERO text log", tuple(episodes), tuple(said), facts)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in re.split(r"[\r\n]+", text):
        found = _LOGGED.search(line)
        if found:
            yield found["what"], _BAR.split(found["value"])[0].strip()


def _first_number(text: str) -> float | None:
    first = text.split()[0] if text.split() else ""
    try:
        return float(first)
    except ValueError:
        return None


READER = Reader()
