"""Before today's rows are predicted: are they still the data that the model was trained on?

Run it: python examples/check_todays_data.py

Needs pandas and scikit-learn (for the data): pip install 'tfnorm[sklearn]' pandas
The same from a shell, where exit code 3 says that something drifted: tfnorm check norm.json today.parquet
"""

from sklearn.datasets import load_diabetes

import tfnorm


def main() -> None:
    patients = load_diabetes(as_frame=True, scaled=False).data
    patients = patients.sample(frac=1, random_state=0)
    train, today = patients[:300], patients[300:].copy()

    fitted = tfnorm.fit(train, "standard", full=True)  # full: keeps the distributions, too
    print(tfnorm.check(fitted, today))

    # what goes wrong in practice: another unit, a sensor that is off, a column twice normalized
    broken = today.assign(bmi=today["bmi"] * 703 / 1000, s6=today["s6"].where(today.index % 3 != 0))
    broken["bp"] = fitted["bp"].transform(broken["bp"])
    drift = tfnorm.check(fitted, broken)
    print("\nwith three faults:")
    for column in drift.columns:
        if column.severity != "none":
            print(" ", column)
    if not drift.drifted:
        raise SystemExit("the faults were not found")


if __name__ == "__main__":
    main()
