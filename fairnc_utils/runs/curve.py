"""A learning curve as rows of the data contract."""

import pandas as pd


def result_rows(
    before: dict[str, float], curve: pd.DataFrame, columns: dict, trained: dict
) -> list[dict]:
    """Result rows of the untrained model (method ``base``) and, if it was trained, of the trained
    one: the curve's end.
    """
    common = {
        "benchmark": "training",
        "split": "validation",
        "corpus": "gap",
        "words": "gender",
        "axis": "gender",
        "variant": "corrected",
    } | columns
    rows = [common | {"metric": metric, "value": value} for metric, value in before.items()]
    if curve.empty:
        return rows
    after = curve.iloc[-1].drop(["step", "lr", "seconds_per_step"]).dropna()
    return rows + [
        common | trained | {"metric": metric, "value": value} for metric, value in after.items()
    ]


def items(before: dict[str, float], curve: pd.DataFrame) -> pd.DataFrame:
    """The learning curve as item rows: ``item_id`` the step (0: untrained), ``unit`` the metric,
    ``score_a`` its value.
    """
    whole = pd.concat([pd.DataFrame([{"step": 0} | before]), curve])
    long = whole.melt("step", var_name="unit", value_name="score_a").dropna()
    steps = long["step"].astype(int).astype(str)
    return long.assign(benchmark="training", axis="gender", item_id=steps).drop(columns="step")
