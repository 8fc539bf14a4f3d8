"""A DataFrame into a Keras model that takes raw columns, is saved, and is loaded by somebody else.

Run it: python examples/keras_with_dataframe.py

Needs TensorFlow, pandas and scikit-learn (for the data): pip install 'tfnorm[tf,sklearn]' pandas
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

import tfnorm

CHOICE = "winsorize(1, 99), standard"  # a few tumours are far larger than the rest


def main() -> None:
    table = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)
    features, benign = table.drop(columns="target"), table["target"].to_numpy()
    train, test = slice(0, 400), slice(400, None)

    fitted = tfnorm.fit(features[train], CHOICE)  # on the training part alone

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            fitted.layer(concatenate=True),  # a dict of raw columns in, one matrix out
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(columns(features[train]), benign[train], epochs=15, verbose=0)
    _, accuracy = model.evaluate(columns(features[test]), benign[test], verbose=0)
    print(f"right on {accuracy:.0%} of {len(benign[test])} tumours that it has not seen")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        loaded = keras.models.load_model(path)
        raw = columns(features[test])
        difference = abs(loaded.predict(raw, verbose=0) - model.predict(raw, verbose=0)).max()
        print(f"the loaded model takes the same raw columns; the largest difference is {difference:.0e}")


def columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """As Keras takes them."""
    return {name: frame[name].to_numpy() for name in frame}


if __name__ == "__main__":
    main()
