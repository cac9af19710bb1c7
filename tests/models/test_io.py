from pathlib import Path

import pytest
import safetensors.torch
import torch
from numpy.random import default_rng

from fourfold.definition.models import DCNv2, FeedSR, TwoTower
from fourfold.models.io import (
    HEADER,
    Model,
    ModelFileError,
    build_ranker,
    build_two_tower,
    load_model,
    read_tensors,
    save_model,
    write_tensors,
)
from fourfold.models.ranker import Ranker
from tests.contract.ranker_contract import SCHEMA, logits_of, rows_of, sequences_of

CONFIGS: list[FeedSR | DCNv2 | TwoTower] = [
    FeedSR(width=8, heads=2, head="mmoe"),
    FeedSR(width=8, heads=1, layers=1),
    DCNv2(width=4),
    TwoTower(width=4),
]


def built(config: FeedSR | DCNv2 | TwoTower, seed: int = 0) -> Model:
    return build_two_tower(config, SCHEMA, seed) if isinstance(config, TwoTower) else build_ranker(config, SCHEMA, seed)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_a_model_comes_back_from_its_file_as_it_was(config: FeedSR | DCNv2 | TwoTower, tmp_path: Path) -> None:
    model, sequences = built(config, seed=3), sequences_of(default_rng(0), [[2, 1], [3]], SCHEMA)
    if isinstance(model, Ranker):
        model.fit_inputs(sequences)
    save_model(model.eval(), tmp_path / "models" / "one")
    loaded = load_model(tmp_path / "models" / "one")
    assert (loaded.config, loaded.schema, type(loaded), loaded.training) == (config, SCHEMA, type(model), False)
    if isinstance(model, Ranker) and isinstance(loaded, Ranker):
        assert loaded.fitted
        assert (logits_of(loaded, sequences) == logits_of(model, sequences)).all()
    elif not isinstance(model, Ranker) and not isinstance(loaded, Ranker):
        items = rows_of(default_rng(0), 5, SCHEMA).items
        assert torch.equal(loaded.item_vectors(items), model.item_vectors(items))


def test_first_weights_depend_on_the_seed_alone_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (built(CONFIGS[0], seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_files_that_are_no_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        load_model(tmp_path / "absent")
    (tmp_path / "text").write_bytes(b"not a model, but long enough to have a header")
    with pytest.raises(ModelFileError, match="text is not a safetensors file"):
        load_model(tmp_path / "text")
    write_tensors(tmp_path / "tensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(ModelFileError, match="tensors is not a model"):
        load_model(tmp_path / "tensors")
    save_model(built(CONFIGS[2]), tmp_path / "torn")
    tensors, header = read_tensors(tmp_path / "torn")
    del tensors["pooled.weight"]
    write_tensors(tmp_path / "torn", tensors, header)
    with pytest.raises(ModelFileError, match="do not fit its own definition"):
        load_model(tmp_path / "torn")


def test_equal_models_make_equal_files(tmp_path: Path) -> None:
    model = built(CONFIGS[2])
    for name in map(str, range(8)):
        save_model(model, tmp_path / name)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_header_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, {HEADER: "[1"}))
    with pytest.raises(ModelFileError, match="header of ours"):
        load_model(tmp_path / "other")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    write_tensors(path, {"a": torch.ones(2)}, {"k": "v"})

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tensors(path, {"a": torch.zeros(2)}, {})
    monkeypatch.undo()
    tensors, header = read_tensors(path)
    assert (tensors["a"].tolist(), header) == ([1, 1], {"k": "v"})
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_calibration_is_part_of_the_file_and_a_file_from_before_it_loads_without(tmp_path: Path) -> None:
    model, logits = built(CONFIGS[1]), torch.randn(5, 3)
    assert isinstance(model, Ranker)
    steps = torch.arange(64.0).expand(3, -1)
    model.calibration.set(steps - 20, 2 * steps - 7)
    save_model(model, tmp_path / "new")
    loaded = load_model(tmp_path / "new")
    assert isinstance(loaded, Ranker)
    assert torch.equal(loaded.probabilities(logits), model.probabilities(logits))
    tensors, header = read_tensors(tmp_path / "new")
    write_tensors(tmp_path / "old", {name: it for name, it in tensors.items() if not name.startswith("calibration.")}, header)
    old = load_model(tmp_path / "old")
    assert isinstance(old, Ranker)
    torch.testing.assert_close(old.probabilities(logits), logits.sigmoid())
    assert not torch.allclose(loaded.probabilities(logits), logits.sigmoid(), atol=0.1)


def test_the_weights_of_a_loaded_model_are_pages_of_its_file_and_it_can_still_be_trained(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(build_ranker(DCNv2(width=64), SCHEMA), path)
    before = path.read_bytes()
    model = load_model(path)

    mapped = [line for line in Path("/proc/self/smaps").read_text().splitlines() if str(path) in line]
    assert mapped, "the weights were copied"
    parameters = list(model.parameters())
    assert all(parameter.requires_grad for parameter in parameters)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(1.0)
    assert path.read_bytes() == before
