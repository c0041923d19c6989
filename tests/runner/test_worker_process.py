"""A worker that crashes, hangs, eats memory or babbles is a failure with a name, and never an orphan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from parity.errors import RunnerError, UsageError
from parity.runner.base import RunnerSpec, runner_for
from processes import gone, heard
from runs import block, factory, opened

pytestmark = pytest.mark.usefixtures("started_workers")

LINEAR = """
    import torch
    def build():
        torch.manual_seed(1)
        return torch.nn.Linear(4, 2)
"""


def after(first: int, body: str) -> str:
    """A policy that answers ``first`` cases and then does ``body``."""
    return f"""
    import ctypes, os, signal, sys, time, torch
    count = 0
    def policy(x):
        global count
        count += 1
        if count > {first}:
            {body}
        return x * 2
    def build():
        return policy
    """


def eventually_gone(pid: int) -> bool:
    for _ in range(200):
        if gone(pid):
            return True
        time.sleep(0.05)
    return False


def test_segmentation_fault_is_named_and_what_was_measured_is_kept(tmp_path: Path) -> None:
    with factory(tmp_path, after(2, "ctypes.string_at(0)")) as session:
        result = session.run(block(5))
        assert result.failure is not None
        assert result.failure.kind == "crash"
        assert "SIGSEGV" in result.failure.message
        assert result.completed == 2
        np.testing.assert_array_equal(result.outputs["output_0"], block(5).inputs["x"][:2] * 2)
        again = session.run(block(1))
        assert again.failure == result.failure
        assert again.completed == 0


def test_hang_is_stopped_and_located(tmp_path: Path) -> None:
    with factory(tmp_path, after(1, "time.sleep(60)"), timeout_s=1.0) as session:
        pid = session._process.pid  # type: ignore[attr-defined]
        result = session.run(block(3))
        assert result.failure is not None
        assert result.failure.kind == "timeout"
        assert "nominal-0001" in result.failure.message
        assert "made.py" in result.failure.message
        assert result.completed == 1
        assert gone(pid)


def test_hang_while_loading_is_an_error(tmp_path: Path) -> None:
    source = "import time\ndef build():\n    time.sleep(60)\n"
    with pytest.raises(RunnerError, match="took longer"), factory(tmp_path, source, options={"load_timeout_s": 4}):
        pass


def test_sigkill_is_called_out_of_memory_with_the_limits_known(tmp_path: Path) -> None:
    with factory(tmp_path, after(0, "os.kill(os.getpid(), signal.SIGKILL)")) as session:
        failure = session.run(block()).failure
        assert failure is not None
        assert failure.kind == "memory"
        assert "SIGKILL" in failure.message
        assert "in this machine" in failure.message


def test_memory_limit_holds(tmp_path: Path) -> None:
    source = after(0, "torch.ones(1 << 30)")
    with factory(tmp_path, source, memory_limit=3 << 30) as session:
        failure = session.run(block()).failure
        assert failure is not None
        assert failure.kind == "memory"


def test_exit_from_within_is_a_crash_with_last_words(tmp_path: Path) -> None:
    with factory(tmp_path, after(0, "print('bye', flush=True); os._exit(7)")) as session:
        failure = session.run(block()).failure
        assert failure is not None
        assert failure.kind == "crash"
        assert "exit status 7" in failure.message
        assert "bye" in failure.message


def test_noise_on_stdout_does_not_reach_the_protocol(tmp_path: Path) -> None:
    noise = 'print(\'{"event": "done"}\'); os.write(1, b\'\\x1e{"event": "failed"}\\n\' * 3); os.system(\'echo noise\')'
    with factory(tmp_path, after(-1, noise)) as session:
        result = session.run(block(4))
        assert result.failure is None
        assert result.completed == 4


def test_flood_of_output_is_survived(tmp_path: Path) -> None:
    with factory(tmp_path, after(-1, "sys.stderr.write('x' * 1_000_000)")) as session:
        result = session.run(block(4))
        assert result.failure is None
        assert len(session._process.tail()) <= 32 << 10  # type: ignore[attr-defined]


def test_policy_that_reads_stdin_or_closes_fd_one_does_no_harm(tmp_path: Path) -> None:
    with factory(tmp_path, after(-1, "sys.stdin.read(); os.close(1)")) as session:
        assert session.run(block(1)).failure is None


def test_error_in_the_policy_is_a_message_and_the_session_lives_on(tmp_path: Path) -> None:
    source = """
    import torch
    def build():
        return lambda x: torch.nn.functional.linear(x, torch.ones(2, 4))
    """
    with factory(tmp_path, source) as session:
        wrong = session.run(block(1, x=np.zeros((1, 1, 5), np.float32)))
        assert wrong.failure is not None
        assert wrong.failure.kind == "run"
        assert "shape" in wrong.failure.message
        assert "nominal-0000" in wrong.failure.message
        assert session.run(block(2)).failure is None


def test_closing_from_another_thread_interrupts(tmp_path: Path) -> None:
    with factory(tmp_path, after(1, "time.sleep(60)")) as session:
        seen = threading.Event()
        threading.Thread(target=lambda: (seen.wait(30), session.close())).start()
        result = session.run(block(3), progress=lambda done: seen.set())
        assert result.failure is not None
        assert result.failure.kind == "interrupted"
        assert result.completed == 1


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    with heard(signal.SIGINT, signal.default_int_handler), factory(tmp_path, after(1, "time.sleep(60)")) as session:

        def interrupt(done: int) -> None:
            signal.raise_signal(signal.SIGINT)

        result = session.run(block(3), progress=interrupt)
        assert result.failure is not None
        assert result.failure.kind == "interrupted"
        assert result.completed == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_when_the_parent_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    """The policy keeps Python's lock in native code; only the kernel can end the worker then."""
    (tmp_path / "made.py").write_text(
        "import ctypes\ndef policy(x):\n    ctypes.PyDLL(None).sleep(60)\ndef build():\n    return policy\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "import numpy as np\n"
        "from parity.runner.base import RunnerSpec, runner_for\n"
        "from parity.tensor import Block\n"
        "spec = RunnerSpec('side', 'torch', 'made:build', options={'cwd': sys.argv[1]})\n"
        "opening = runner_for(spec).open(spec, Path(sys.argv[1]) / 'work')\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    session = pool.submit(opening.__enter__).result()\n"
        "print(session._process.pid, flush=True)\n"
        "session.run(Block(('a',), {'x': np.zeros((1, 1, 4), np.float32)}))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(0.3)
    assert not gone(pid), "a worker started from a thread that has ended must live on"
    parent.send_signal(how)
    parent.wait()
    parent.stdout.close()
    assert eventually_gone(pid)


def test_children_of_the_policy_end_with_it(tmp_path: Path) -> None:
    body = "import subprocess; child = subprocess.Popen(['sleep', '60']); return torch.tensor([child.pid])"
    with factory(tmp_path, after(-1, body)) as session:
        result = session.run(block(1))
        pid = int(np.asarray(result.outputs["output_0"]).ravel()[0])
        assert not gone(pid)
    assert eventually_gone(pid)


def test_work_folder_is_left_empty(tmp_path: Path) -> None:
    with factory(tmp_path, LINEAR) as session:
        result = session.run(block(8))
        assert result.completed == 8
    assert list((tmp_path / "work").iterdir()) == []


def test_other_interpreter_runs_the_policy(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "here.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    with factory(tmp_path, LINEAR, python=str(venv / "bin" / "python")) as session:
        assert session.run(block(2)).failure is None
        assert session.info.environment["interpreter"] == str(venv / "bin" / "python")
        found = Path(f"/proc/{session._process.pid}/exe").readlink()  # type: ignore[attr-defined]
        assert found.exists()


def test_interpreter_without_torch_says_so(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    with pytest.raises(RunnerError, match="cannot be imported") as e, factory(tmp_path, LINEAR, python=str(venv)):
        pass
    assert "python" in str(e.value)


@pytest.mark.parametrize("python", ["nowhere/bin/python", "python-of-another-world"])
def test_interpreter_that_is_not_there(tmp_path: Path, python: str) -> None:
    with pytest.raises(RunnerError, match="no such interpreter"), factory(tmp_path, LINEAR, python=python):
        pass


def test_interpreter_by_name_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training-python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "training-python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with factory(tmp_path, LINEAR, python="training-python") as session:
        assert session.run(block(1)).failure is None


def test_interpreter_that_is_none(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho I am no Python >&2\nexit 3\n")
    fake.chmod(0o755)
    with pytest.raises(RunnerError, match="I am no Python"), factory(tmp_path, LINEAR, python=str(fake)):
        pass


def test_module_of_the_user_may_be_called_like_a_file_of_the_worker(tmp_path: Path) -> None:
    (tmp_path / "protocol.py").write_text("FACTOR = 3\n")
    with factory(tmp_path, "from protocol import FACTOR\ndef build():\n    return lambda x: x * FACTOR\n") as session:
        result = session.run(block(1))
        np.testing.assert_array_equal(result.outputs["output_0"], block(1).inputs["x"] * 3)


def test_unknown_option_names_the_nearest(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="did you mean 'threads'"),
        opened("torch", "made:build", tmp_path, options={"thread": 3}),
    ):
        pass


def test_unknown_runner_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'torch'"):
        runner_for(RunnerSpec("side", "torhc"))


def test_full_work_folder_is_a_message(tmp_path: Path) -> None:
    """/dev/full cannot be a folder; a file in the place of the folder stands for what cannot be written."""
    (tmp_path / "work").write_text("")
    with pytest.raises(Exception, match="cannot be written"), factory(tmp_path, LINEAR):
        pass


def test_search_of_many_small_calls_uses_one_process(tmp_path: Path) -> None:
    with factory(tmp_path, LINEAR) as session:
        pid = session._process.pid  # type: ignore[attr-defined]
        first = session.run(block(1))
        for _ in range(200):
            result = session.run(block(1))
            assert result.failure is None
            np.testing.assert_array_equal(result.outputs["output_0"], first.outputs["output_0"])
        assert session._process.pid == pid  # type: ignore[attr-defined]


def test_two_sessions_open_and_run_side_by_side(tmp_path: Path) -> None:
    """Each is opened by a thread that ends at once; both workers must survive that."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import ExitStack

    with ExitStack() as exits:
        sessions = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            with ThreadPoolExecutor(1) as pool:
                sessions.append(pool.submit(exits.enter_context, factory(tmp_path / name, LINEAR)).result())
        time.sleep(0.2)
        results = [s.run(block(3)) for s in sessions]
        assert [r.failure for r in results] == [None, None]
        np.testing.assert_array_equal(results[0].outputs["output_0"], results[1].outputs["output_0"])
