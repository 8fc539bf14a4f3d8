"""Train on the logarithm of a price, predict in dollars.

Run it: python examples/back_to_dollars.py

Needs TensorFlow: pip install 'tfnorm[tf]'
"""

import keras
import numpy as np

import tfnorm


def flats(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Made-up flats: size, age, distance to the centre, and a price that multiplies rather than adds."""
    rng = np.random.default_rng(seed)
    size, age, distance = rng.gamma(8, 10, rows) + 15, rng.uniform(0, 100, rows), rng.exponential(6, rows)
    noise = rng.normal(0, 0.1, rows)
    price = 9_000 * size * np.exp(-0.003 * age - 0.06 * distance + noise)
    return {"size": size, "age": age, "distance": distance, "price": price}


def main() -> None:
    train, test = flats(4000, seed=0), flats(1000, seed=1)
    choice = {"size": "log1p, standard", "age": "standard", "distance": "standard", "price": "log1p, standard"}
    fitted = tfnorm.fit(train, choice)

    ready = fitted.transform(train)
    x = np.stack([ready["size"], ready["age"], ready["distance"]], axis=1)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, ready["price"], epochs=10, verbose=0)

    # raw columns in, dollars out; it is an ordinary Keras model to save, serve and export
    served = fitted.attach(model, target="price")
    raw = {name: test[name] for name in ("size", "age", "distance")}
    dollars = served.predict(raw, verbose=0)[:, 0]
    off = np.median(abs(dollars / test["price"] - 1))
    print(f"a flat of {test['size'][0]:.0f} m2: ${dollars[0]:,.0f} predicted, ${test['price'][0]:,.0f} paid")
    print(f"half of the predictions are off by less than {off:.0%}")


if __name__ == "__main__":
    main()
