"""The pytest plugin: thin hooks over `parity.release`. Imports nothing but pytest until ``--parity`` is given.

``pytest suites --parity parity.toml`` (or ``--pyargs parity.suites``) executes the release once, in the controlling
process, and judges it in tests collected from the plan. ``--parity-evidence DIR`` judges what a run has executed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from parity.release.gateway import Gateway

JUDGED = {
    "comparison",
    "candidate_verdict",
    "weights_verdict",
    "normalization_verdict",
    "replay_verdict",
    "om_verdict",
}
KEY: pytest.StashKey[Gateway] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the gate."""
    group = parser.getgroup("parity", "judge the release of a robot policy")
    group.addoption("--parity", metavar="TOML", default=None, help="the release to judge, a parity.toml")
    group.addoption(
        "--parity-evidence", metavar="DIR", default=None, help="judge what an earlier execution left in DIR"
    )


def _active(config: pytest.Config) -> bool:
    return bool(config.getoption("--parity", default=None) or config.getoption("--parity-evidence", default=None))


def pytest_configure(config: pytest.Config) -> None:
    """Execute the release (controller only), or open the evidence that the controller made (workers)."""
    if not _active(config):
        return
    from parity.errors import ParityError
    from parity.release.gateway import Gateway

    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    toml, evidence = config.getoption("--parity"), config.getoption("--parity-evidence")
    try:
        if given is not None:
            config.stash[KEY] = Gateway.attached(given["parity_evidence"], given["workerid"], toml)
        elif evidence:
            config.stash[KEY] = Gateway.attached(evidence, "main", toml)
        else:
            config.stash[KEY] = Gateway.executed(toml)
    except ParityError as e:
        raise pytest.UsageError(str(e)) from None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the evidence is."""
    if _active(node.config):
        node.workerinput["parity_evidence"] = str(node.config.stash[KEY].folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test per plan entry, and one per candidate."""
    gateway = metafunc.config.stash.get(KEY, None)
    if gateway is None:
        if JUDGED & set(metafunc.fixturenames):
            raise pytest.Collector.CollectError("nothing is judged: say which release with --parity parity.toml")
        return
    if "comparison" in metafunc.fixturenames:
        entries = gateway.entries
        metafunc.parametrize("comparison", entries, ids=[e.id for e in entries], indirect=True)
    if "candidate_verdict" in metafunc.fixturenames:
        names = gateway.candidates
        metafunc.parametrize("candidate_verdict", names, ids=list(names), indirect=True)
    if "weights_verdict" in metafunc.fixturenames:
        names = gateway.weighed
        metafunc.parametrize("weights_verdict", names, ids=list(names), indirect=True)
    if "normalization_verdict" in metafunc.fixturenames:
        labels = gateway.statistics
        metafunc.parametrize("normalization_verdict", labels, ids=[ascii(n)[1:-1] for n in labels], indirect=True)
    if "replay_verdict" in metafunc.fixturenames:
        names = gateway.replayed
        metafunc.parametrize("replay_verdict", names, ids=list(names), indirect=True)
    if "om_verdict" in metafunc.fixturenames:
        names = gateway.compiled
        metafunc.parametrize("om_verdict", names, ids=list(names), indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the questions that a release does not ask (weights, statistics, recorded data, an OM): not skipped."""
    gateway = config.stash.get(KEY, None)
    if gateway is None:
        return
    asked = {"weights_verdict": gateway.weighed, "normalization_verdict": gateway.statistics}
    asked |= {"replay_verdict": gateway.replayed, "om_verdict": gateway.compiled}
    left_out = {name for name, about in asked.items() if not about}
    items[:] = [i for i in items if not left_out & set(getattr(i, "fixturenames", ()))]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what was selected, so that a test that never reported is not taken for one that was not asked for."""
    gateway = session.config.stash.get(KEY, None)
    if gateway is not None:
        gateway.note_selected([p for i in session.items if (p := _entry(i)) is not None])


def _entry(item: pytest.Item) -> Any:
    callspec = getattr(item, "callspec", None)
    found = None if callspec is None else callspec.params.get("comparison")
    return found if hasattr(found, "case") else None  # an empty plan gives a placeholder of pytest's own


@pytest.fixture
def comparison(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One comparison of the plan, measured and judged."""
    return request.config.stash[KEY].judged(request.param)


@pytest.fixture
def candidate_verdict(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The verdict on one candidate, with its reasons: every rule of the gate applied."""
    return request.config.stash[KEY].candidate(request.param)


@pytest.fixture
def weights_verdict(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The verdict on whose weights one candidate holds, with its reasons."""
    return request.config.stash[KEY].weights(request.param)


@pytest.fixture
def normalization_verdict(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The verdict on one source of normalization statistics, with its reasons."""
    return request.config.stash[KEY].normalization(request.param)


@pytest.fixture
def replay_verdict(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The verdict on how one candidate behaves on recorded data, with its reasons."""
    return request.config.stash[KEY].replay(request.param)


@pytest.fixture
def om_verdict(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The verdict on what one OM file tells without a device, with its reasons."""
    return request.config.stash[KEY].om(request.param)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the evidence."""
    gateway = config.stash.get(KEY, None)
    if gateway is not None:
        gateway.close()
