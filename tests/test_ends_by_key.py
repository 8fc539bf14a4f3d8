"""out_of_range by key: held against pandas' groupby, in NumPy, in the layer, in files and in what is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

import tfnorm
from tfnorm.artefact import dumps, loads
from tfnorm.errors import ArtefactError, ChoiceError
from tfnorm.fitting import solved
from tfnorm.maps import ByKey
from tfnorm.rules import Policies, Rules

RANDOM = np.random.default_rng(31)
NAN, INF = np.nan, np.inf
STORES = np.array(["a", "b", "ключ", "null"], object)


def table(rows: int = 400) -> pd.DataFrame:
    store = RANDOM.integers(0, len(STORES), rows)
    return pd.DataFrame(
        {"store": STORES[store], "day": RANDOM.integers(0, 3, rows), "price": RANDOM.gamma(2, 3, rows) + 50.0 * store}
    )


SEEN = table()
NEW = table(300)
NEW["price"] = NEW["price"] * 3 - 80
NEW.loc[::11, "price"] = NAN
NEW.loc[::17, "store"] = "new"


def ends(by: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of each of the new rows, as pandas groups the old ones; those of all where the key is new."""
    found = NEW[by].merge(SEEN.groupby(by)["price"].agg(["min", "max"]).reset_index(), on=by, how="left")
    whole = SEEN["price"]
    return found["min"].fillna(whole.min()).to_numpy(), found["max"].fillna(whole.max()).to_numpy()


def limited(policy: str, by: list[str]) -> np.ndarray:
    low, high = ends(by)
    price = NEW["price"].to_numpy()
    return np.clip(price, low, high) if policy == "clip" else np.where((price < low) | (price > high), NAN, price)


@pytest.mark.parametrize("policy", ["clip", "missing"])
@pytest.mark.parametrize("by", [["store"], ["store", "day"], ["day"]])
@pytest.mark.parametrize("choice", ["minmax", "standard", "quantile(levels=50)", "log1p, standard", "power(2), maxabs"])
def test_each_key_has_its_own_ends(choice: str, by: list[str], policy: str, tmp_path: Path) -> None:
    choice = f"{choice}.by({', '.join(map(repr, by))})"
    fitted = tfnorm.fit(SEEN, {"price": choice}, out_of_range=policy)
    came = NEW["price"].to_numpy()
    outside = ~np.isnan(came) & (np.nan_to_num(came) != np.nan_to_num(limited(policy, by)))
    expected = tfnorm.fit(SEEN, {"price": choice}).transform(NEW.assign(price=limited(policy, by)))["price"]
    np.testing.assert_allclose(fitted.transform(NEW)["price"], expected, rtol=1e-12, atol=1e-12)
    assert fitted.fired["price", "out_of_range"] == outside.sum() > 0
    known = ~np.isin(NEW["store"], STORES) if "store" in by else np.zeros(len(NEW), bool)
    assert fitted.fired["price", "unseen"] == known.sum()
    path = tmp_path / "norm.json"
    fitted.save(path)
    loaded = tfnorm.load(path)
    assert loaded == fitted
    assert loaded.rules == fitted.rules
    pd.testing.assert_frame_equal(loaded.transform(NEW), fitted.transform(NEW))
    assert loaded.fired["price", "out_of_range"] == outside.sum()
    layer = fitted.layer(dtype="float64")(
        {name: tf.constant(NEW[name].tolist(), None if name == "store" else NEW[name].dtype) for name in NEW}
    )
    np.testing.assert_allclose(np.asarray(layer["price"]), expected, rtol=1e-9, atol=1e-9)


def test_within_the_ends_nothing_changes_and_comes_back() -> None:
    plain, fitted = (
        tfnorm.fit(SEEN, {"price": "standard.by('store')"}, out_of_range=word) for word in ("keep", "clip")
    )
    pd.testing.assert_frame_equal(fitted.transform(SEEN), plain.transform(SEEN))
    assert not fitted.fired
    np.testing.assert_allclose(fitted.inverse(fitted.transform(SEEN))["price"], SEEN["price"], rtol=1e-12)
    low, high = ends(["store"])
    back = fitted.inverse(fitted.transform(NEW))["price"]  # as the nearest end
    np.testing.assert_allclose(back, np.clip(NEW["price"], low, high), rtol=1e-12)
    assert not fitted["price"].invertible


def test_the_first_technique_by_key_says_which_and_text_says_so() -> None:
    choice = "standard, standard.by('day'), minmax.by('store')"
    fitted = tfnorm.fit(SEEN, {"price": choice}, out_of_range="clip")
    known = NEW.assign(store=STORES[0])
    low, high = ends(["day"])
    plain = tfnorm.fit(SEEN, {"price": choice}).transform(known.assign(price=np.clip(NEW["price"], low, high)))
    np.testing.assert_allclose(fitted.transform(known)["price"], plain["price"], rtol=1e-9)
    assert fitted.rules.words() == ["\"price\": out_of_range=clip by 'day'"]


@pytest.mark.parametrize("unseen", ["global", "missing"])
def test_rows_of_other_keys(unseen: str) -> None:
    fitted = tfnorm.fit(SEEN, {"price": f"minmax.by('store', unseen={unseen!r})"}, out_of_range="clip")
    new = pd.DataFrame({"store": ["new", "new"], "day": [0, 0], "price": [-1e6, 1e6]})
    got = fitted.transform(new)["price"]
    np.testing.assert_allclose(got, [0, 1] if unseen == "global" else [NAN, NAN], atol=1e-12)
    assert fitted.fired["price", "out_of_range"] == (2 if unseen == "global" else 0)


def test_a_key_of_which_nothing_is_known_has_no_ends() -> None:
    seen = pd.DataFrame({"store": ["a", "a", "b"], "price": [1.0, 3.0, NAN]})
    fitted = tfnorm.fit(seen, {"price": "center.by('store')"}, out_of_range="missing")
    new = pd.DataFrame({"store": ["a", "b", "b"], "price": [9.0, 9.0, INF]})
    assert np.isnan(fitted.transform(new)["price"][0])
    assert fitted.transform(new)["price"][1] == 0  # the center of nothing, and not missing
    assert fitted.fired["price", "out_of_range"] == 2  # of two calls, of a alone


def test_shrinking_draws_the_ends_to_those_of_all_rows() -> None:
    seen = pd.DataFrame({"store": ["a"] * 4 + ["b"] * 2, "price": [0.0, 10, 20, 30, 10, 20]})
    fitted = tfnorm.fit(seen, {"price": "minmax.by('store', shrink=2)"}, out_of_range="clip")
    new = pd.DataFrame({"store": ["b", "b"], "price": [-100.0, 100.0]})
    # half of the way from 10 to 0, and from 20 to 30
    np.testing.assert_allclose(fitted.inverse(fitted.transform(new))["price"], [5, 25], rtol=1e-12)


@pytest.mark.parametrize("policy", ["clip", "missing"])
@pytest.mark.parametrize("choice", ["minmax.by('k')", "standard, minmax.by('k')", "standard.by('k'), minmax"])
def test_whole_numbers_beyond_float64_keep_their_digits(choice: str, policy: str) -> None:
    start = 2**60
    seen = {"k": [0, 0, 1, 1], "id": np.array([start, start + 4, start + 100, start + 108])}
    fitted = tfnorm.fit(seen, {"id": choice}, out_of_range=policy)
    plain = tfnorm.fit(seen, {"id": choice})
    inside = {"k": [0, 0, 1, 1], "id": np.array([start + 1, start + 3, start + 102, start + 108])}
    np.testing.assert_array_equal(fitted.transform(inside)["id"], plain.transform(inside)["id"])
    beyond = {"k": [0, 1, 1], "id": np.array([start + 300, start + 600, start - 300])}
    nearest = {"k": [0, 1, 1], "id": np.array([start + 4, start + 108, start + 100])}
    wanted = plain.transform(nearest)["id"] if policy == "clip" else np.full(3, NAN)
    np.testing.assert_allclose(fitted.transform(beyond)["id"], wanted, rtol=1e-12, atol=1e-12)


def test_vectors_images_ragged_and_sparse_rows() -> None:
    keys = {"k": np.array([0, 0, 1, 1])}
    vectors = np.array([[0.0, 10], [4, 30], [100, 1000], [300, 4000]])
    new = np.array([[-1.0, 20], [2, 31], [100, 999], [301, 5000]])
    low, high = vectors[[0, 0, 2, 2]], vectors[[1, 1, 3, 3]]
    fitted = tfnorm.fit({**keys, "v": vectors}, {"v": "center.by('k')"}, out_of_range="clip")
    plain = tfnorm.fit({**keys, "v": vectors}, {"v": "center.by('k')"})
    wanted = plain.transform({**keys, "v": np.clip(new, low, high)})["v"]
    np.testing.assert_allclose(fitted.transform({**keys, "v": new})["v"], wanted)
    assert fitted.fired["v", "out_of_range"] == 5
    images = np.repeat(new[:, None, :], 3, axis=1)
    fitted.fired.clear()
    got = fitted["v"].transform(images, keys=keys["k"])
    np.testing.assert_allclose(got, np.repeat(wanted[:, None, :], 3, axis=1))
    assert fitted.fired["v", "out_of_range"] == 15
    sparse = {**keys, "v": scipy.sparse.csr_array(vectors)}
    fitted = tfnorm.fit(sparse, {"v": "maxabs.by('k')"}, out_of_range="clip", sparse="missing")
    low[:2, 0] = 4  # 0 is not stored
    stored = fitted.transform({**keys, "v": scipy.sparse.csr_array(new)})["v"]
    np.testing.assert_allclose(stored.toarray(), np.clip(new, low, high) / high)
    assert fitted.fired["v", "out_of_range"] == 6


def test_columns_that_share_have_the_ends_of_all() -> None:
    frame = SEEN.assign(other=SEEN["price"] + 7)
    choice = dict.fromkeys(("price", "other"), "log1p, minmax.by('store')")
    fitted = tfnorm.fit(frame, choice, share=["price", "other"], out_of_range={"price": "clip"})
    high = pd.DataFrame({"store": STORES, "price": 1e6, "other": 1e6})
    back = fitted.inverse(fitted.transform(high))
    np.testing.assert_allclose(back["price"], SEEN.groupby("store")["price"].max()[STORES] + 7, rtol=1e-9)
    np.testing.assert_allclose(back["other"], 1e6, rtol=1e-9)


def test_files_of_before_keep_the_ends_of_all_rows() -> None:
    profile = tfnorm.fit(SEEN, {"price": "minmax.by('store')"}).profile
    stages = tfnorm.fit(SEEN, {"price": "minmax.by('store')"}).stages
    old = solved(profile, stages, Rules({"price": Policies(out_of_range="clip")}))
    text = dumps(old)
    assert b"ends_by" not in text
    loaded = loads(text)
    assert loaded == old
    whole = SEEN["price"]
    rows = pd.DataFrame({"store": ["a", "a"], "price": [whole.max(), whole.max() * 2]})
    wanted = tfnorm.fit(SEEN, {"price": "minmax.by('store')"}).transform(rows.assign(price=whole.max()))
    pd.testing.assert_frame_equal(loaded.transform(rows), wanted)
    assert loaded.fired["price", "out_of_range"] == 1


def test_a_file_whose_rules_fit_nothing_is_refused() -> None:
    from tfnorm.artefact import checksum_of

    fitted = tfnorm.fit(SEEN, {"price": "minmax.by('store')"}, out_of_range="clip")
    broken: Any = json.loads(dumps(fitted))
    broken["content"]["rules"]["policies"]["price"]["ends_by"] = ["day"]
    broken["checksum"] = checksum_of(broken["content"])
    with pytest.raises(ArtefactError, match="out_of_range is by 'day', and no technique of it is"):
        loads(json.dumps(broken).encode())


def test_a_profile_that_lacks_the_ends_says_so() -> None:
    profile = tfnorm.fit(SEEN, {"price": "log1p, minmax.by('store')"}).profile
    with pytest.raises(
        ChoiceError, match=r'"price": out_of_range needs the smallest and the largest value by \'store\''
    ):
        tfnorm.fit(profile, {"price": "log1p, minmax.by('store')"}, out_of_range="clip")
    (step,) = tfnorm.fit(profile, {"price": "log1p, minmax.by('store')"})["price"].map.keyed()
    assert isinstance(step, ByKey)
