"""A release whose files do not fit each other is refused when it is opened, and the file is named.

The sums of these releases are right: they were published so.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import faiss
import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from recsvc.answers import Recommender
from recsvc.answers.bundle import open_bundle
from recsvc.answers.tensors import map_tensors
from recsvc.errors import ReleaseError
from recsvc.releases import FileEntry, Store


def change_table(
    change: Callable[[dict[str, np.ndarray]], object], space: str = "behaviour"
) -> Callable[[Path], object]:
    def tamper(folder: Path) -> None:
        path = folder / space / "items.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return tamper


def put(key: str, place: object, value: object) -> Callable[[Path], object]:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[key][place] = value

    return change_table(change)


def cast(key: str, dtype: type) -> Callable[[Path], object]:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[key] = tensors[key].astype(dtype)

    return change_table(change)


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def shorter_index(folder: Path) -> None:
    index = faiss.IndexFlatIP(4)
    index.add(np.eye(4, dtype=np.float32))
    faiss.write_index(index, str(folder / "behaviour" / "similar.faiss"))


TABLE, INDEX, ENCODER = "behaviour/items.safetensors", "behaviour/similar.faiss", "behaviour/encoder.onnx"
IMAGE_ENCODER = "image/encoder.onnx"
A_GENRE = 40  # a row of the catalogue
TAMPERS = [
    (put("vectors", (3, 1), np.nan), TABLE, "vectors hold NaN"),
    (put("bias", 2, np.inf), TABLE, "bias hold NaN or infinity"),
    (put("catalogue_rows", 0, 10_000), TABLE, "row 10000 of a catalogue of"),
    (put("catalogue_rows", 0, -1), TABLE, "row -1 of a catalogue of"),
    (put("catalogue_rows", slice(0, 2), 5), TABLE, "two of its catalogue_rows"),
    (cast("vectors", np.float16), TABLE, "vectors are float16"),
    (cast("catalogue_rows", np.int64), TABLE, "catalogue_rows are int64"),
    (change_table(lambda t: t.update(bias=t["bias"][:-1].copy())), TABLE, "bias are float32"),
    (change_table(lambda t: t.pop("bias")), TABLE, "no tensor 'bias'"),
    (write(TABLE, b"\xff" * 64), TABLE, "safetensors"),
    (write(TABLE, b""), TABLE, "tensor file"),
    (shorter_index, INDEX, "holds 4 vectors of 4 numbers"),
    (write(INDEX, b"nothing"), INDEX, "FAISS cannot read"),
    (write(ENCODER, b"nothing"), ENCODER, "ONNX Runtime cannot load"),
    (write(IMAGE_ENCODER, b"nothing"), IMAGE_ENCODER, "ONNX Runtime cannot load"),
    (put("catalogue_rows", 0, A_GENRE), TABLE, "things that are no items"),
    (change_table(lambda t: t.pop("vectors"), "graph"), "graph/items.safetensors", "no tensor 'vectors'"),
    (change_table(lambda t: t.pop("catalogue_rows"), "image"), "image/items.safetensors", "no tensor 'catalogue_rows'"),
    (write("catalogue.sqlite", b"nothing"), "catalogue.sqlite", "catalogue"),
    (lambda folder: (folder / "catalogue.sqlite").unlink(), "catalogue.sqlite", "no such file"),
    (lambda folder: (folder / "warmup.json").unlink(), "warmup.json", "cannot be read"),
    (write("warmup.json", b'{"histories": [[1]]}'), "warmup.json", "histories"),
    (write("warmup.json", b'{"histories": 3}'), "warmup.json", "histories"),
    (write("warmup.json", b'{"histories": ["abc"]}'), "warmup.json", "histories"),
    (write("warmup.json", b'{"histories": {"a": ["b"]}}'), "warmup.json", "histories"),
    (write("warmup.json", b"[]"), "warmup.json", "histories"),
]


@pytest.mark.parametrize(("tamper", "name", "problem"), TAMPERS, ids=[f"{t[1]}: {t[2]}" for t in TAMPERS])
def test_a_file_that_does_not_fit_is_named(
    tmp_path: Path, tiny, tamper: Callable[[Path], object], name: str, problem: str
) -> None:
    store = Store(tmp_path / "store")
    store.activate(tiny.publish(store, tamper=tamper), actor="test", reason="test")
    with pytest.raises(ReleaseError) as caught:
        Recommender.from_store(store.path)
    assert name in str(caught.value)
    assert problem in str(caught.value)


def test_an_encoder_of_another_shape_is_refused(tmp_path: Path, tiny, support: ModuleType) -> None:
    def publish(number: int, model: onnx.ModelProto) -> Path:
        store = Store(tmp_path / str(number))
        release = tiny.publish(store, tamper=lambda folder: onnx.save(model, folder / ENCODER))
        return store.path_of(release)

    with pytest.raises(ReleaseError, match=r"encoder\.onnx gives float32 \(1, 8\)"):
        open_bundle(publish(0, support.encoder_model(4, output_dim=8)), "r")
    with pytest.raises(ReleaseError, match=r"encoder\.onnx failed on 1 vectors"):
        open_bundle(publish(1, support.encoder_model(5)), "r")
    renamed = support.encoder_model(4)
    renamed.graph.input[1].name = "padding"
    renamed.graph.node[0].input[0] = "padding"
    with pytest.raises(ReleaseError, match=r"encoder\.onnx.*its inputs are"):
        open_bundle(publish(2, renamed), "r")


def test_a_picture_encoder_of_another_shape_is_refused(tmp_path: Path, tiny, support: ModuleType) -> None:
    def publish(number: int, model: onnx.ModelProto) -> Path:
        store = Store(tmp_path / str(number))
        return store.path_of(tiny.publish(store, tamper=lambda folder: onnx.save(model, folder / IMAGE_ENCODER)))

    with pytest.raises(ReleaseError, match=r"encoder\.onnx gives float32 \(1, 4\).*float32 \(1, 5\)"):
        open_bundle(publish(0, support.picture_model(tiny.weights[:, :4])), "r")
    with pytest.raises(ReleaseError, match=r"encoder\.onnx failed on a picture of 8 x 8 pixels"):
        open_bundle(publish(1, support.picture_model(tiny.weights[: 3 * 7 * 7])), "r")
    with pytest.raises(ReleaseError, match=r"encoder\.onnx.*its inputs are.*'vectors'"):
        open_bundle(publish(2, support.encoder_model(5)), "r")
    renamed = support.picture_model(tiny.weights)
    renamed.graph.output[0].name = renamed.graph.node[1].output[0] = "embedding"
    with pytest.raises(ReleaseError, match=r"encoder\.onnx.*one output must be 'vector'"):
        open_bundle(publish(3, renamed), "r")


def test_the_warm_up_runs_the_picture_encoder(tmp_path: Path, tiny, support: ModuleType) -> None:
    store = Store(tmp_path / "store")
    huge = support.picture_model(np.full_like(tiny.weights, 3e38))
    release = tiny.publish(store, tamper=lambda folder: onnx.save(huge, folder / IMAGE_ENCODER))
    recommender = Recommender.open(store.path_of(release), release_id="r")
    with pytest.raises(ReleaseError, match="gives NaN or infinity for a picture of 8 x 8 pixels"):
        recommender.warm_up()


@pytest.mark.parametrize("spaces", [("behaviour",), ("graph",), ("image",), ("graph", "image")])
def test_a_release_may_hold_any_of_the_spaces(tmp_path: Path, tiny, spaces: tuple[str, ...]) -> None:
    store = Store(tmp_path / "store")
    bundle = open_bundle(store.path_of(replace(tiny, spaces=spaces).publish(store)), "r")
    assert tuple(bundle.spaces) == spaces
    for name, space in bundle.spaces.items():
        assert [space.sequences is None, space.pictures is None] == [name != "behaviour", name != "image"]
    assert bundle.warm_up == (tiny.warm_up if "behaviour" in spaces else [])
    assert bundle.by_popularity.tolist() == sorted(range(len(tiny.ids)), key=lambda row: -tiny.popularity[row])


def test_histories_that_no_space_reads_are_refused(tmp_path: Path, tiny) -> None:
    store = Store(tmp_path / "store")
    release = replace(tiny, spaces=("graph",)).publish(store, tamper=write("warmup.json", b'{"histories": [["1193"]]}'))
    with pytest.raises(ReleaseError, match=r"warmup\.json.*no space reads any"):
        open_bundle(store.path_of(release), "r")


def test_a_release_of_the_format_before_says_to_publish_again(tmp_path: Path, tiny) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    manifest = tiny.fill(folder).with_files(
        {name: FileEntry(sha256="0" * 64, size=0) for name in ("behaviour/encoder.onnx", "image/encoder.onnx")}
        | {
            f"{s}/{f}": FileEntry(sha256="0" * 64, size=0)
            for s in tiny.spaces
            for f in ("items.safetensors", "similar.faiss")
        }
    )
    content = {**json.loads(manifest.to_bytes()), "format": 1}
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ReleaseError, match="reads format 2, not 1; publish again"):
        open_bundle(folder, "r")


def test_an_encoder_that_gives_nan_is_found_by_the_warm_up(tmp_path: Path, tiny) -> None:
    huge = replace(tiny, vectors=np.full_like(tiny.vectors, 3e38))
    store = Store(tmp_path / "store")
    recommender = Recommender.open(store.path_of(huge.publish(store)), release_id="r")
    with pytest.raises(ReleaseError, match="gives NaN or infinity"):
        recommender.warm_up()


def test_warm_up_answers_the_sample_histories(tmp_path: Path, tiny) -> None:
    store = Store(tmp_path / "store")
    release = replace(tiny, warm_up=[["1193"], ["661", "nobody"], []]).publish(store)
    stages: list[str] = []
    recommender = Recommender.open(
        store.path_of(release), release_id=release, observe=lambda stage, _: stages.append(stage)
    )
    recommender.warm_up()
    assert stages.count("encode") == 2
    assert stages.count("catalogue") == 3


def test_the_item_table_is_mapped_not_copied(store: Store) -> None:
    path = store.path_of(store.current()[0].id) / TABLE
    mapped, loaded = map_tensors(path), load_file(path)
    assert mapped.keys() == loaded.keys()
    for key, tensor in mapped.items():
        assert np.array_equal(tensor, loaded[key])
        assert not tensor.flags.writeable
        base = tensor
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)


def test_metadata_of_a_tensor_file_is_no_tensor(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_file({"x": np.arange(3, dtype=np.int32)}, path, metadata={"format": "np"})
    assert map_tensors(path)["x"].tolist() == [0, 1, 2]
    header = json.dumps({"x": {"dtype": "I32", "shape": [3], "data_offsets": [0, 13]}}).encode()
    (tmp_path / "long.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 12)
    with pytest.raises(ReleaseError, match="outside the file"):
        map_tensors(tmp_path / "long.safetensors")
