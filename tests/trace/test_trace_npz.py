"""An `.npz` as a trace, and what an `.npz` of unknown origin may not do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from parity.errors import ArtifactError
from parity.trace import Trace


def arrays() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    obs = np.arange(12, dtype=np.float32).reshape(3, 1, 4)
    return {"inputs/obs": obs, "outputs/action": obs * 2, "outputs/head/value": obs[:, 0, 0]}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_cases_of_an_npz(tmp_path: Path, save: object) -> None:
    path = tmp_path / "golden.npz"
    save(path, **arrays())  # type: ignore[operator]
    with Trace.open(path) as trace:
        assert [c.id for c in trace.cases] == ["dataset-0000", "dataset-0001", "dataset-0002"]
        assert {c.profile for c in trace.cases} == {"dataset"}
        assert trace.output_names("dataset-0001") == ("action", "head/value")
        np.testing.assert_array_equal(trace.inputs("dataset-0001")["obs"], [[4, 5, 6, 7]])
        np.testing.assert_array_equal(trace.output("dataset-0002", "action").read(1, 3), [18, 20])
        assert trace.output("dataset-0002", "head/value").shape == ()
        assert trace.shapes("outputs")["action"] == ((1, 4), np.dtype(np.float32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs/obs": np.zeros((2, 1))},
        {"inputs/obs": np.zeros((2, 1)), "outputs/a": np.zeros((3, 1))},
        {"outputs/a": np.zeros((2, 1)), "b": np.zeros((2, 1))},
        {"outputs/a": np.float32(1)},
        {"outputs/a": np.array([{}], object)},
        {"outputs/a": np.array(["x"])},
        {"outputs/a": np.asfortranarray(np.zeros((2, 3)))},
    ],
)
def test_npz_that_is_no_trace(tmp_path: Path, wrong: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    path = tmp_path / "wrong.npz"
    np.savez(path, **wrong)
    with pytest.raises(ArtifactError) as e:
        Trace.open(path)
    assert "wrong.npz" in str(e.value)


def test_header_that_claims_more_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    import io

    header = io.BytesIO()
    np.lib.format.write_array_header_2_0(header, {"descr": "<f8", "fortran_order": False, "shape": (3, 1 << 57)})
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("outputs/a.npy", header.getvalue())
    with pytest.raises(ArtifactError, match="claims"):
        Trace.open(path)


def test_directory_that_claims_more_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, **{"outputs/a": np.zeros((4, 1000))})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")  # uncompressed size in the central directory
    path.write_bytes(bytes(raw))
    with pytest.raises(ArtifactError, match="claims"):
        Trace.open(path)


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_truncated_npz(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.npz"
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ArtifactError):
        Trace.open(path)
