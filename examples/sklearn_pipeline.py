"""In a scikit-learn pipeline: which technique is best for this model, by cross-validation; and the target, too.

Run it: python examples/sklearn_pipeline.py

Needs scikit-learn: pip install 'tfnorm[sklearn]'
"""

from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from tfnorm.sklearn import Normalizer

CHOICES = ["identity", "standard", "minmax", "robust", "quantile('normal')"]


def main() -> None:
    X, y = load_diabetes(return_X_y=True, scaled=False)  # noqa: N806
    model = TransformedTargetRegressor(
        make_pipeline(Normalizer(), KNeighborsRegressor(15)), transformer=Normalizer("standard")
    )
    search = GridSearchCV(model, {"regressor__normalizer__choice": CHOICES}, cv=5).fit(X, y)
    for choice, score in zip(CHOICES, search.cv_results_["mean_test_score"], strict=True):
        print(f"{choice:20} R2 {score:.3f}")

    normalizer = search.best_estimator_.regressor_.named_steps["normalizer"]
    print(f"best: {normalizer.choice}, fitted on {normalizer.fitted_.profile.num_rows} rows")


if __name__ == "__main__":
    main()
