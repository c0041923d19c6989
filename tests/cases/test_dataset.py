"""The user's own observations: what is taken, what is refused, and in which words."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parity.cases import CaseSet, cases_from_npz
from parity.contract import Contract, Window
from parity.errors import ArtifactError, ParityError, UsageError
from parity.tensor import TensorSpec

OBS = TensorSpec("obs", (1, 5), "float32", "state")
CAM = TensorSpec("cam", ("batch", 3, 8, 8), "float32", "image")
VALUES = np.arange(20, dtype=np.float32).reshape(4, 5)


def saved(path: Path, arrays: Mapping[str, Any]) -> Path:
    file = path / "inputs.npz"
    np.savez(file, **arrays)
    return file


def codes(made: CaseSet) -> list[str]:
    return [f.code for f in made.findings]


def refused(file: Path, specs: list[TensorSpec], *words: str) -> None:
    with pytest.raises(ArtifactError) as e:
        cases_from_npz(file, specs)
    for word in (file.name, *words):
        assert word in str(e.value)


def test_one_case_per_observation(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((4, 3, 8, 8)).astype(np.float32)
    made = cases_from_npz(saved(tmp_path, {"cam": images, "obs": VALUES}), [OBS, CAM])
    assert [c.id for c in made.cases] == [f"dataset-{i:04d}" for i in range(4)]
    for i, case in enumerate(made.cases):
        assert case.profile == "dataset"
        assert np.array_equal(case.inputs["obs"], VALUES[i : i + 1])
        assert np.array_equal(case.inputs["cam"], images[i : i + 1])
    assert made.findings == ()
    assert made.distinct == 4
    assert "inputs.npz" in made.sources["obs"]


@pytest.mark.parametrize("name", ["arr_0", "observation.state"])
def test_a_single_array_of_another_name_does_for_a_single_input_and_is_told(tmp_path: Path, name: str) -> None:
    made = cases_from_npz(saved(tmp_path, {name: VALUES}), [OBS])
    assert len(made.cases) == 4
    (finding,) = made.findings
    assert (finding.code, finding.severity, finding.where) == ("CASE016", "warning", "obs")
    assert repr(name) in finding.title
    assert cases_from_npz(saved(tmp_path, {"obs": VALUES}), [OBS]).findings == ()


def test_an_array_without_a_name_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    made = cases_from_npz(tmp_path / "x.npy", [OBS])
    assert len(made.cases) == 4
    assert codes(made) == ["CASE016"]


def test_a_single_array_of_another_name_needs_a_shape_to_go_by(tmp_path: Path) -> None:
    refused(
        saved(tmp_path, {"states": VALUES}), [TensorSpec("obs", None, "float32")], "'obs'", "'states'", "called obs"
    )
    refused(saved(tmp_path, {"states": VALUES[:, :3]}), [OBS], "'obs'", "(4, 3)")
    refused(saved(tmp_path, {"states": VALUES}), [OBS, CAM], "'obs'", "'cam'", "'states'")


def test_compressed_and_fortran_ordered(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", obs=np.asfortranarray(VALUES))
    made = cases_from_npz(tmp_path / "x.npz", [OBS])
    assert np.array_equal(np.concatenate([c.inputs["obs"] for c in made.cases]), VALUES)


def test_observations_with_their_batch_axis(tmp_path: Path) -> None:
    made = cases_from_npz(saved(tmp_path, {"obs": VALUES[:, None]}), [OBS])
    assert np.array_equal(made.cases[2].inputs["obs"], VALUES[2:3])


def test_the_batch_axis_of_a_recurrent_state_is_the_second(tmp_path: Path) -> None:
    hidden = TensorSpec("h", (2, "batch", 8), "float32", "hidden_state")
    states = np.random.default_rng(0).random((4, 2, 8)).astype(np.float32)
    made = cases_from_npz(saved(tmp_path, {"obs": VALUES, "h": states}), [OBS, hidden])
    assert made.cases[1].inputs["h"].shape == (2, 1, 8)
    assert np.array_equal(made.cases[1].inputs["h"][:, 0], states[1])


def test_a_fixed_batch_takes_several_and_says_what_is_left_out(tmp_path: Path) -> None:
    made = cases_from_npz(saved(tmp_path, {"obs": VALUES}), [TensorSpec("obs", (3, 5), "float32")])
    assert len(made.cases) == 1
    assert np.array_equal(made.cases[0].inputs["obs"], VALUES[:3])
    assert codes(made) == ["CASE014"]
    refused(saved(tmp_path, {"obs": VALUES}), [TensorSpec("obs", (9, 5), "float32")], "takes 9 at once")


def test_bare_shapes_take_the_window(tmp_path: Path) -> None:
    spec = TensorSpec("observation.state", (5,), "float32", "state", batched=False)
    contract = Contract(Path("c"), "lerobot", inputs=(spec,), window=Window(n_obs_steps=2))
    windows = np.stack([VALUES[:-1], VALUES[1:]], axis=1)
    made = cases_from_npz(saved(tmp_path, {"observation.state": windows}), contract)
    assert made.cases[0].inputs["observation.state"].shape == (1, 2, 5)


def test_scalars_come_one_per_observation(tmp_path: Path) -> None:
    spec = TensorSpec("t", (), "int64", "timestep")
    made = cases_from_npz(saved(tmp_path, {"obs": VALUES, "t": np.arange(4)}), [OBS, spec])
    assert made.cases[3].inputs["t"].shape == ()
    assert made.cases[3].inputs["t"] == 3


def test_symbolic_dims_take_one_size(tmp_path: Path) -> None:
    specs = [TensorSpec("a", ("batch", "n"), "float32"), TensorSpec("b", ("batch", "n"), "float32")]
    assert cases_from_npz(saved(tmp_path, {"a": VALUES, "b": VALUES}), specs).cases[0].inputs["a"].shape == (1, 5)
    refused(saved(tmp_path, {"a": VALUES, "b": VALUES[:, :3]}), specs, "'b'", "(4, 3)", "(N, 5)")


def test_unknown_shape_takes_what_comes(tmp_path: Path) -> None:
    made = cases_from_npz(saved(tmp_path, {"obs": VALUES}), [TensorSpec("obs")])
    assert made.cases[0].inputs["obs"].shape == (1, 5)
    assert made.cases[0].inputs["obs"].dtype == np.float32


class TestRefused:
    def test_shape(self, tmp_path: Path) -> None:
        refused(saved(tmp_path, {"obs": np.zeros((7, 48), np.float32)}), [OBS], "found shape (7, 48)", "(N, 5)")

    def test_single_observation_without_its_first_axis(self, tmp_path: Path) -> None:
        refused(saved(tmp_path, {"obs": VALUES[0]}), [OBS], "(5,)", "(N, 5)")

    def test_names(self, tmp_path: Path) -> None:
        file = saved(tmp_path, {"obz": VALUES, "cam": np.zeros((4, 3, 8, 8), np.float32), "extra": VALUES})
        refused(file, [OBS, CAM], "no array for input 'obs'", "did you mean 'obs'", "'extra' is no input")

    def test_counts(self, tmp_path: Path) -> None:
        file = saved(tmp_path, {"obs": VALUES, "cam": np.zeros((3, 3, 8, 8), np.float32)})
        refused(file, [OBS, CAM], "different numbers", "obs: 4", "cam: 3")

    def test_nothing(self, tmp_path: Path) -> None:
        refused(saved(tmp_path, {"obs": np.zeros((0, 5), np.float32)}), [OBS], "no observations")

    def test_objects_are_never_unpickled(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", obs=np.array([{"a": 1}], dtype=object))
        refused(tmp_path / "x.npz", [OBS], "Python objects")

    def test_text_and_complex(self, tmp_path: Path) -> None:
        refused(saved(tmp_path, {"obs": np.array(["a"])}), [OBS], "not numbers")
        refused(saved(tmp_path, {"obs": VALUES.astype(np.complex64)}), [OBS], "not numbers")

    def test_lossy_casts(self, tmp_path: Path) -> None:
        fine = VALUES.astype(np.float64) + 0.1
        refused(saved(tmp_path, {"obs": fine}), [OBS], "found dtype float64", "astype('float32')")
        refused(saved(tmp_path, {"t": VALUES + 0.5}), [TensorSpec("t", (1, 5), "int64")], "float32")
        refused(saved(tmp_path, {"t": VALUES - 1}), [TensorSpec("t", (1, 5), "uint8")], "float32")
        refused(saved(tmp_path, {"t": -VALUES.astype(np.int64)}), [TensorSpec("t", (1, 5), "uint64")], "int64")
        refused(saved(tmp_path, {"t": VALUES * 2.0**60}), [TensorSpec("t", (1, 5), "bool")], "float32")

    def test_not_a_file(self, tmp_path: Path) -> None:
        refused(tmp_path / "none.npz", [OBS], "no such file")

    def test_another_kind(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text("{}")
        refused(tmp_path / "x.json", [OBS], "this is json")

    def test_no_contract(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            cases_from_npz(saved(tmp_path, {"obs": VALUES}), [])


class TestCasts:
    @pytest.mark.parametrize("found", ["float64", "float16", "int64", "uint8"])
    def test_those_that_lose_nothing_are_made_and_reported(self, tmp_path: Path, found: str) -> None:
        made = cases_from_npz(saved(tmp_path, {"obs": VALUES.astype(found)}), [OBS])
        assert made.cases[1].inputs["obs"].dtype == np.float32
        assert np.array_equal(made.cases[1].inputs["obs"], VALUES[1:2])
        assert codes(made) == ["CASE012"]

    def test_big_endian(self, tmp_path: Path) -> None:
        made = cases_from_npz(saved(tmp_path, {"obs": VALUES.astype(">f4")}), [OBS])
        assert made.cases[1].inputs["obs"].dtype.isnative
        assert np.array_equal(made.cases[1].inputs["obs"], VALUES[1:2])

    def test_bytes_for_a_float_image_are_suspicious(self, tmp_path: Path) -> None:
        images = np.random.default_rng(0).integers(0, 255, (4, 3, 8, 8)).astype(np.uint8)
        made = cases_from_npz(saved(tmp_path, {"cam": images}), [CAM])
        assert codes(made) == ["CASE015"]
        assert made.findings[0].severity == "warning"

    def test_bfloat16(self, tmp_path: Path) -> None:
        spec = TensorSpec("obs", (1, 5), "bfloat16")
        made = cases_from_npz(saved(tmp_path, {"obs": VALUES}), [spec])
        assert made.cases[1].inputs["obs"].dtype.name == "bfloat16"
        again = cases_from_npz(saved(tmp_path, {"obs": np.concatenate([c.inputs["obs"] for c in made.cases])}), [spec])
        assert again.cases[1].inputs["obs"].tobytes() == made.cases[1].inputs["obs"].tobytes()
        refused(saved(tmp_path, {"obs": VALUES + np.float32(0.01)}), [spec], "bfloat16")


class TestObserved:
    def test_nan_is_kept_and_reported(self, tmp_path: Path) -> None:
        values = VALUES.copy()
        values[2, 3], values[3, 0] = np.nan, np.inf
        made = cases_from_npz(saved(tmp_path, {"obs": values}), [OBS])
        assert np.isnan(made.cases[2].inputs["obs"][0, 3])
        assert codes(made) == ["CASE011"]
        assert made.findings[0].evidence == {"observations": [2, 3]}

    def test_nan_survives_a_cast(self, tmp_path: Path) -> None:
        values = VALUES.astype(np.float64)
        values[2, 3] = np.nan
        made = cases_from_npz(saved(tmp_path, {"obs": values}), [OBS])
        assert np.isnan(made.cases[2].inputs["obs"][0, 3])
        assert codes(made) == ["CASE012", "CASE011"]

    def test_repeats_are_counted(self, tmp_path: Path) -> None:
        made = cases_from_npz(saved(tmp_path, {"obs": VALUES[[0, 1, 1, 0]]}), [OBS])
        assert codes(made) == ["CASE010"]
        assert made.findings[0].evidence == {"observations": 4, "distinct": 2}
        assert made.distinct == 2

    @pytest.mark.parametrize("rows", [[0], [1, 1, 1]])
    def test_fewer_than_two_distinct_say_nothing(self, tmp_path: Path, rows: list[int]) -> None:
        made = cases_from_npz(saved(tmp_path, {"obs": VALUES[rows]}), [OBS])
        assert codes(made) == ["CASE013"]
        assert made.distinct == 1


def npy(shape: tuple[int, ...], data: bytes = b"", descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape!r}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


class TestHostile:
    def write(self, path: Path, member: bytes, method: int = zipfile.ZIP_STORED, name: str = "obs.npy") -> Path:
        with zipfile.ZipFile(path / "x.npz", "w", method) as archive:
            archive.writestr(name, member)
        return path / "x.npz"

    def test_a_header_that_claims_more_than_there_is(self, tmp_path: Path) -> None:
        refused(self.write(tmp_path, npy((2**60, 5))), [OBS], "claims shape")
        refused(self.write(tmp_path, npy((2**62, 2**62, 2**62))), [OBS], "claims shape")
        (tmp_path / "x.npy").write_bytes(npy((2**60,)))
        refused(tmp_path / "x.npy", [OBS], "claims shape")

    def test_negative_and_broken_shapes(self, tmp_path: Path) -> None:
        for shape in ("(-1, 5)", "(1.5,)", "'x'", "(True, 5)"):
            member = npy((7,), b"\0" * 40).replace(b"(7,)", shape.encode().ljust(4))
            with pytest.raises(ArtifactError):
                cases_from_npz(self.write(tmp_path, member), [OBS])

    def test_a_zip_bomb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from parity.cases import npz

        monkeypatch.setattr(npz, "MAX_BYTES", 1 << 20)
        file = self.write(tmp_path, npy((1 << 19,), b"\0" * (1 << 21)), zipfile.ZIP_DEFLATED)
        assert file.stat().st_size < 10_000
        refused(file, [OBS], "unpacks to")

    def test_a_directory_that_lies_about_sizes(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, npy((2, 5), VALUES[:2].tobytes()))
        raw = bytearray(file.read_bytes())
        at = raw.rindex(b"PK\x01\x02") + 24
        raw[at : at + 4] = struct.pack("<I", 0xF0000000)
        file.write_bytes(bytes(raw))
        refused(file, [OBS], "claims 4,026,531,840 bytes")

    def test_two_arrays_of_one_name(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("obs.npy", npy((2, 5), VALUES[:2].tobytes()))
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("obs.npy", npy((2, 5), VALUES[2:].tobytes()))
        refused(tmp_path / "x.npz", [OBS], "two arrays are called 'obs'")

    def test_data_after_the_array(self, tmp_path: Path) -> None:
        refused(self.write(tmp_path, npy((1, 5), VALUES[:2].tobytes())), [OBS], "followed by more data")

    def test_names_are_never_paths(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, npy((2, 5), VALUES[:2].tobytes()), name="../../evil.npy")
        assert len(cases_from_npz(file, [OBS]).cases) == 2
        assert not (tmp_path.parent.parent / "evil.npy").exists()

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damage_is_a_message_or_the_same_shapes(self, tmp_path: Path, data: st.DataObject) -> None:
        buffer = io.BytesIO()
        save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
        save(buffer, obs=VALUES)
        raw = bytearray(buffer.getvalue())
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        file = tmp_path / "x.npz"
        file.write_bytes(bytes(raw[: data.draw(st.integers(1, len(raw)))]))
        try:
            made = cases_from_npz(file, [OBS])
        except ParityError:
            return
        assert all(c.inputs["obs"].shape == (1, 5) for c in made.cases)
