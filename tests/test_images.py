"""Images: counted exactly, by the decoder of the training, and what may be wrong with them."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import tfnorm
from tfnorm.artefact import dumps
from tfnorm.errors import ChoiceError, DataError
from tfnorm.sources import images as sources
from tfnorm.sources import pixels as pixels_of
from tfnorm.sources.counted import Counted
from tfnorm.statistics import Count, Extremes, Moments
from tfrecords import example
from tfrecords import write as write_tfrecord

RNG = np.random.default_rng(0)
DECODERS = pytest.mark.parametrize("decoder", ["pillow", "tensorflow"])


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth, with some noise, as photos are."""
    y, x = np.mgrid[:height, :width]
    base = 128 + 80 * np.sin(y / 9)[..., None] * np.cos(x[..., None] / (7 + np.arange(channels)))
    return np.clip(base + RNG.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "png", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, kind, **options)
    return stream.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def check(profile: Any, pixels: list[np.ndarray], name: str = "image") -> None:
    """Every number, against NumPy's of all pixels together; sums of integers, so NumPy's are exact, too."""
    flat = np.concatenate([one.reshape(-1, one.shape[-1]) for one in pixels])
    column = profile[name]
    np.testing.assert_array_equal(column.count.finite, len(flat))
    np.testing.assert_array_equal(column.count.zero, (flat == 0).sum(axis=0))
    np.testing.assert_array_equal(column.minimum, flat.min(axis=0))
    np.testing.assert_array_equal(column.maximum, flat.max(axis=0))
    exact = flat.sum(axis=0, dtype=np.int64) / len(flat)
    np.testing.assert_allclose(column.mean, exact, rtol=4e-16)
    deviation = np.sqrt([sum(v * (x - m) ** 2 for x, v in zip(*np.unique(c, return_counts=True), strict=True)) / len(c)
                         for c, m in zip(flat.T, exact, strict=True)])  # fmt: skip
    np.testing.assert_allclose(column.std, deviation, rtol=1e-14)


@DECODERS
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_folders_of_any_size(tmp_path: Path, decoder: Any, channels: int) -> None:
    if decoder == "tensorflow":
        pytest.importorskip("tensorflow")
    pixels = [picture(20 + 3 * i, 50 - i, channels) for i in range(9)]
    for i, one in enumerate(pixels):
        kind = ("png", "bmp" if channels == 3 else "png", "png")[i % 3]
        write(tmp_path / f"class{i % 2}" / f"{i}.{kind}", encoded(one, kind))
    check(tfnorm.scan(tfnorm.images.open(tmp_path, decoder=decoder)), pixels)


@DECODERS
def test_lossless_webp(tmp_path: Path, decoder: Any) -> None:
    if decoder == "tensorflow":
        pytest.importorskip("tensorflow")
    pixels = picture(40, 60)
    write(tmp_path / "a.webp", encoded(pixels, "webp", lossless=True))
    check(tfnorm.scan(tfnorm.images.open(tmp_path, decoder=decoder)), [pixels])


def test_sixteen_bits(tmp_path: Path) -> None:
    grey = RNG.integers(0, 65536, (30, 40, 1)).astype(np.uint16)
    path = write(tmp_path / "grey.png", encoded(grey))
    for decoder in ("pillow", "tensorflow"):
        if decoder == "tensorflow":
            pytest.importorskip("tensorflow")
        source = tfnorm.images.open(path, decoder=decoder)
        assert source.columns[0].dtype == "uint16"
        check(tfnorm.scan(source), [grey])
    tf = pytest.importorskip("tensorflow")
    colour = RNG.integers(0, 65536, (30, 40, 3)).astype(np.uint16)
    path = write(tmp_path / "colour.png", tf.io.encode_png(colour).numpy())
    check(tfnorm.scan(path), [colour])
    with pytest.raises(DataError, match=r"colour.png: Pillow drops half of 16 bits of colour"):
        tfnorm.scan(tfnorm.images.open(path, decoder="pillow"))


@pytest.mark.parametrize("method", ["INTEGER_FAST", "INTEGER_ACCURATE"])
def test_jpegs_are_decoded_as_training_decodes_them(tmp_path: Path, method: Any) -> None:
    tf = pytest.importorskip("tensorflow")
    files = [write(tmp_path / f"{i}.jpg", encoded(picture(64, 48), "jpeg", quality=90)) for i in range(3)]
    pixels = [tf.io.decode_jpeg(file.read_bytes(), dct_method=method).numpy() for file in files]
    source = tfnorm.images.open(tmp_path, dct_method=method)
    check(tfnorm.scan(source), pixels)
    if method == "INTEGER_FAST":  # what tf.io.decode_jpeg does by default, and so do we
        check(tfnorm.scan(tmp_path), [tf.io.decode_jpeg(file.read_bytes()).numpy() for file in files])
    else:
        check(tfnorm.scan(tfnorm.images.open(tmp_path, decoder="pillow")), pixels)
    assert f"decoded by tensorflow {tf.__version__}, dct_method={method}" in source.name


def test_the_decoder_is_in_the_artefact(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "a.png", encoded(picture(9, 9)))
    fitted = tfnorm.fit(tfnorm.images.open(tmp_path / "photos", decoder="pillow", channels=3), "standard")
    fitted.save(tmp_path / "norm.json")
    loaded = tfnorm.load(tmp_path / "norm.json")
    assert "decoded by pillow" in loaded.profile.provenance[0].source
    assert "channels=3" in loaded.profile.provenance[0].source
    image = picture(5, 6)[None]
    np.testing.assert_array_equal(
        loaded.transform({"image": image})["image"], fitted.transform({"image": image})["image"]
    )


def test_real_photos() -> None:
    folder = Path(pytest.importorskip("sklearn.datasets").__file__).parent / "images"
    tf = pytest.importorskip("tensorflow")
    pixels = [tf.io.decode_jpeg((folder / f"{name}.jpg").read_bytes()).numpy() for name in ("china", "flower")]
    check(tfnorm.scan(folder), pixels)


def test_real_photos_of_all_kinds() -> None:
    data = Path(pytest.importorskip("skimage.data").__file__).parent
    files = [file for file in sorted(data.glob("*")) if file.suffix in (".jpg", ".png")]
    for file in files:
        with Image.open(file) as image:
            if image.mode not in ("L", "RGB", "RGBA"):
                continue
            if file.name == "chessboard_RGB.png":  # it has 16 bits, of which Pillow drops half
                assert "Pillow drops half of 16 bits" in refused(file, "pillow")
                continue
            check(tfnorm.scan(tfnorm.images.open(file, decoder="pillow")), [np.atleast_3d(np.asarray(image))])


def test_chains_and_curves(tmp_path: Path) -> None:
    pixels = [picture(30, 40), picture(20, 50)]
    for i, one in enumerate(pixels):
        write(tmp_path / f"{i}.png", encoded(one))
    flat = np.concatenate([one.reshape(-1, 3) for one in pixels]).astype(np.float64)
    source = tfnorm.images.open(tmp_path, decoder="pillow")
    for choice in ("robust", "minmax", "yeo_johnson", ["log1p", "standard"], "quantile"):
        found, expected = tfnorm.fit(source, choice), tfnorm.fit({"image": flat}, choice)
        got, wanted = (one.transform({"image": flat[:500]})["image"] for one in (found, expected))
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)
    one = tfnorm.scan(source, axis=None)["image"]
    assert one.mean == pytest.approx(flat.mean(), rel=1e-13)
    with pytest.raises((DataError, ChoiceError)):
        tfnorm.fit(source, "whiten")


def test_the_same_bits_for_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SHARD_FILES", 2)
    for i in range(9):
        write(tmp_path / f"{i}.png", encoded(picture(30, 20)))
    source = tfnorm.images.open(tmp_path, decoder="pillow")
    assert [shard.num_rows for shard in source.shards(["image"])] == [2, 2, 2, 2, 1]
    one, three = (tfnorm.scan(source, workers=workers) for workers in (1, 3))
    for a, b in zip(one.gatherings, three.gatherings, strict=True):
        for name, value in vars(a.statistic).items():
            np.testing.assert_array_equal(getattr(b.statistic, name), value)


# Encoded, in columns


def test_in_columns_of_other_sources(tmp_path: Path) -> None:
    pixels = [picture(20, 30), picture(25, 10), picture(8, 8)]
    data = [encoded(one) for one in pixels]
    table = pa.table({"photo": data, "label": [1, 2, 3]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    hugging = pa.table({"photo": [{"bytes": one, "path": None} for one in data]})
    write_tfrecord(tmp_path / "a.tfrecord", [example(photo=np.array([one], object), label=1) for one in data])
    for where in (tmp_path / "a.parquet", table, hugging, tmp_path / "a.tfrecord"):
        source = tfnorm.images.open(where, column="photo", decoder="pillow")
        check(tfnorm.scan(source, columns=["photo"]), pixels, "photo")
        fitted = tfnorm.fit(source, {"photo": "standard"})
        assert fitted.profile["photo"].column.shape == (None, None, 3)
    with pytest.raises(DataError, match=r'"label": expected encoded images, got int64'):
        tfnorm.images.open(table, column="label", decoder="pillow")
    broken = pa.table({"photo": [data[0], data[1][:50]]})
    with pytest.raises(DataError, match=r'column "photo", row 1 \(pyarrow'):
        tfnorm.scan(tfnorm.images.open(broken, column="photo", decoder="pillow"))


# Faults


def refused(path: Any, decoder: Any, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        tfnorm.scan(tfnorm.images.open(path, decoder=decoder, **options))
    return str(error.value)


@DECODERS
def test_broken_files_are_named(tmp_path: Path, decoder: Any) -> None:
    if decoder == "tensorflow":
        pytest.importorskip("tensorflow")
    write(tmp_path / "a.png", encoded(picture(60, 60)))
    whole = {
        "jpg": encoded(picture(60, 60), "jpeg"),
        "png": encoded(picture(60, 60)),
        "webp": encoded(picture(60, 60), "webp"),
    }
    for ending, data in whole.items():
        path = tmp_path / f"b.{ending}"
        zeros = data[:60] + bytes(len(data) - 60)
        for broken in (data[: len(data) // 2], data[:15], b"", b"no image at all", zeros):
            if ending == "webp" and broken is zeros:  # its streams have no checksums: any bits are some picture
                continue
            path.write_bytes(broken)
            message = refused(tmp_path, decoder)
            assert f"b.{ending}: " in message, (ending, broken[:20])
        path.unlink()


@DECODERS
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, decoder: Any) -> None:
    if decoder == "tensorflow":
        pytest.importorskip("tensorflow")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    path = write(tmp_path / "a.png", png)
    assert "a.png: its header says 40000 x 40000 pixels, and more than 178956970 are refused" in refused(path, decoder)
    write(path, encoded(picture(20, 30)))
    assert "30 x 20 pixels, and more than 500 are refused" in refused(path, decoder, max_pixels=500)


def test_another_number_of_channels(tmp_path: Path) -> None:
    write(tmp_path / "a.png", encoded(picture(9, 9, 3)))
    write(tmp_path / "b.png", encoded(picture(9, 9, 1)))
    message = refused(tmp_path, "pillow")
    assert "b.png: expected RGB of 8 bits as of the first image, got grey of 8 bits" in message
    assert "channels=3" in message
    assert (
        tfnorm.scan(tfnorm.images.open(tmp_path, decoder="pillow", channels=3))["image"].count.finite.tolist()
        == [162] * 3
    )
    write(tmp_path / "b.png", encoded(RNG.integers(0, 9, (9, 9, 1)).astype(np.uint16)))
    assert "got grey of 16 bits" in refused(tmp_path, "pillow")


def test_pictures_beside_tables_are_no_data(tmp_path: Path) -> None:
    write(tmp_path / "plot.png", encoded(picture(9, 9)))
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    assert list(tfnorm.scan(tmp_path)) == ["x"]
    with pytest.raises(DataError, match="expected images alone, or none"):
        tfnorm.scan(f"{tmp_path}/*")


def test_without_a_decoder(tmp_path: Path) -> None:
    write(tmp_path / "a.png", encoded(picture(9, 9)))
    script = (
        "import sys; sys.modules['PIL'] = None; import tfnorm\n"
        "try: tfnorm.images.open(sys.argv[1], decoder='pillow')\n"
        "except ValueError as error: print(error)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "pip install 'tfnorm[images]'" in out
    for wrong in ({"decoder": "opencv"}, {"dct_method": "SLOW"}, {"channels": 2}):
        with pytest.raises(ChoiceError):
            tfnorm.images.open(tmp_path, **wrong)


def test_counts_add_up() -> None:
    x = RNG.integers(0, 40, (500, 2)).astype(np.uint8)

    def of(rows: np.ndarray) -> Counted:
        return Counted.of_integers(1, np.stack([np.bincount(c, minlength=256) for c in rows.T], axis=1), np.uint8)

    both = np.concatenate([of(x[:100]), of(x[100:])])  # type: ignore[call-overload]
    np.testing.assert_array_equal(both.counts, of(x).counts)
    np.testing.assert_array_equal(both.values, of(x).values)
    from tfnorm.counted import measure

    found = measure(both.values, both, (Count, Extremes, Moments), 2)
    np.testing.assert_array_equal(found[Count].zero, Count.of(x).zero)
    np.testing.assert_allclose(found[Moments].std, x.std(axis=0), rtol=1e-14)


# Backbones


def test_backbones() -> None:
    keras = pytest.importorskip("keras")
    found = tfnorm.images.check("EfficientNetB0")
    assert found.normalizes
    assert any(name.startswith("Rescaling") for name in found.layers)
    assert "normalize nothing" in str(found)
    resnet = tfnorm.images.check(keras.applications.ResNet50)
    assert not resnet.normalizes
    assert "BGR" in resnet.preprocess
    mobile: Any = tfnorm.images.check(keras.applications.MobileNetV2(weights=None))
    assert not mobile.normalizes
    assert mobile.expects == "channels from -1 to 1"
    assert not tfnorm.images.check("densenet121").normalizes
    for wrong in ("ResNet5000", 3):
        with pytest.raises(ChoiceError):
            tfnorm.images.check(wrong)


# --------------------------------------------------------------------------------------------- what is broken, stopped, added


def test_broken_images_are_left_out_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = [picture(9, 7) for _ in range(9)]
    for number, one in enumerate(pixels):
        write(tmp_path / f"{number}.png", encoded(one))
    whole = (tmp_path / "4.png").read_bytes()
    (tmp_path / "0.png").write_bytes(b"no image at all")  # the first one tells the column where it can be read
    (tmp_path / "4.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"0\.png"):
        tfnorm.scan(tmp_path)
    with caplog.at_level("WARNING"):
        profile = tfnorm.fit(tmp_path, "standard", on_error="skip").profile
    kept = [one for number, one in enumerate(pixels) if number not in (0, 4)]
    assert profile.num_rows == 7
    np.testing.assert_array_equal(profile["image"].count.finite, [7 * 9 * 7] * 3)
    exact = np.concatenate([one.reshape(-1, 3) for one in kept]).astype(np.float64)
    np.testing.assert_allclose(profile["image"].mean, exact.mean(axis=0), rtol=1e-13)
    (origin,) = profile.provenance
    assert [Path(one.part).name for one in origin.skipped] == ["0.png", "4.png"]
    assert all(one.part in one.reason for one in origin.skipped)
    assert "4.png" in caplog.text
    opened = tfnorm.images.open(tmp_path)
    assert tfnorm.scan(opened, on_error="skip").num_rows == 7


def test_none_can_be_read(tmp_path: Path) -> None:
    write(tmp_path / "a.png", b"nothing")
    with pytest.raises(DataError, match=r"none of 1 images can be read.*a\.png"):
        tfnorm.scan(tmp_path, on_error="skip")


def test_a_checkpoint_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kept = tmp_path / "photos", tmp_path / "kept"
    for number in range(150):
        write(folder / f"{number:03}.png", encoded(picture(5, 4)))
    bare = tfnorm.scan(folder)
    decoded: list[str] = []
    decode = sources.Decoder.__call__

    def counting(self: Any, data: bytes, where: str) -> np.ndarray:
        decoded.append(Path(where).name)
        return decode(self, data, where)

    monkeypatch.setattr(sources.Decoder, "__call__", counting)
    first = tfnorm.scan(folder, checkpoint=kept)
    assert len(decoded) == 151  # the first one tells the column, too
    decoded.clear()
    again = tfnorm.scan(folder, checkpoint=kept)
    assert decoded == ["000.png"]
    assert dumps(bare) == dumps(first) == dumps(again)
    changed = folder / "077.png"
    write(changed, encoded(picture(6, 4)))
    write(folder / "0205.png", encoded(picture(5, 4)))  # among the first
    decoded.clear()
    more = tfnorm.scan(folder, checkpoint=kept)
    assert {"077.png", "0205.png"} <= set(decoded)
    assert len(decoded) < 130
    assert dumps(more) == dumps(tfnorm.scan(folder))


def test_broken_images_are_not_recorded(tmp_path: Path) -> None:
    folder, kept = tmp_path / "photos", tmp_path / "kept"
    for number in range(4):
        write(folder / f"{number}.png", encoded(picture(5, 4)))
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(b"")
    assert tfnorm.scan(folder, checkpoint=kept, on_error="skip").num_rows == 3
    (folder / "2.png").write_bytes(whole)
    assert dumps(tfnorm.scan(folder, checkpoint=kept)) == dumps(tfnorm.scan(folder))


def test_named_columns_of_encoded_images_are_decoded(tmp_path: Path) -> None:
    pixels = [picture(9, 7) for _ in range(5)]
    data = [encoded(one) for one in pixels]
    path = tmp_path / "photos.parquet"
    rows = {"image": [*data, None], "hub": [{"bytes": one, "path": "x.png"} for one in (*data, data[0])]}
    pq.write_table(pa.table({**rows, "word": ["BMW"] * 6, "n": range(6)}), path)
    check(tfnorm.fit(path, {"image": "standard"}).profile, pixels)
    check(tfnorm.scan(path, columns="image"), pixels)
    check(tfnorm.scan(path, columns="hub"), [*pixels, pixels[0]], "hub")
    assert "decoded by" in tfnorm.fit(path, {"image": "standard"}).profile.provenance[0].source
    assert list(tfnorm.fit(path, "standard").profile) == ["n"]
    with pytest.raises(ChoiceError, match="hold no numbers"):
        tfnorm.fit(path, {"word": "standard"})
    kept = tmp_path / "kept"
    first = tfnorm.scan(path, columns="image", checkpoint=kept)
    assert dumps(tfnorm.scan(path, columns="image", checkpoint=kept)) == dumps(first)
    rows["image"][2] = data[2][:40]
    pq.write_table(pa.table(rows), path)
    skipped = tfnorm.fit(path, {"image": "standard"}, on_error="skip").profile
    check(skipped, [one for number, one in enumerate(pixels) if number != 2])
    (one,) = skipped.provenance[0].skipped
    assert "row 2" in one.part


def test_named_features_of_records_are_decoded(tmp_path: Path) -> None:
    pixels = [picture(9, 7) for _ in range(3)]
    path = tmp_path / "photos.tfrecord"
    write_tfrecord(path, [example(image=np.array([encoded(one)], object)) for one in pixels])
    check(tfnorm.fit(path, {"image": "standard"}).profile, pixels)


def test_large_pictures_are_counted_in_pairs() -> None:
    from tfnorm.kernels.pixels import count_rgb, fold_rgb

    for pixels in (
        picture(211, 157),
        np.zeros((307, 301, 3), np.uint8),
        RNG.integers(0, 256, (150, 149, 3)).astype(np.uint8),
    ):
        assert pixels.size >= pixels_of.PAIRS_FROM
        several = pixels_of.Pixels(sources.column_of("image", pixels))
        several.add(pixels, "")
        several.add(pixels, "")
        counted = several.batch("image")["image"]
        wanted = np.stack([np.bincount(pixels[..., j].ravel(), minlength=256) for j in range(3)], axis=1)
        there = wanted.any(axis=1)
        np.testing.assert_array_equal(counted.counts, 2 * wanted[there])
    tables, over = np.full((3, 1 << 16), 65535, np.uint16), np.zeros((3, 1 << 16), np.uint32)
    count_rgb(np.full(12, 513, np.uint16), tables, over)  # 1 and 2
    counts = np.zeros((256, 3), np.int64)
    fold_rgb(tables, over, counts)
    many = 65535 * 256
    np.testing.assert_array_equal(counts.sum(axis=0), [2 * many * 256 + 8] * 3)
    np.testing.assert_array_equal(counts[:3], np.array([[2 * many] * 3, [2 * many + 4] * 3, [2 * many + 4] * 3]))
