"""Published values: what is read from the file, and what is said of a file that is not as it should
be.
"""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairnc_book import published
from fairnc_book.numbers import METRICS
from fairnc_utils import benchmarks
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout

HEADER = ",".join(published.COLUMNS)
GOOD = (
    "bert-base-uncased,MABEL+NC3,stereoset_intra,test,gender,ICAT,74.55,README of the released code"
)
TEXT = (checkout.root() / published.FILE).read_text()


@pytest.fixture(scope="module")
def facts():
    return published.load()


def only(facts, **columns):
    for column, value in columns.items():
        facts = facts[facts[column] == value]
    (fact,) = facts.to_dict("records")
    return fact


def test_file_has_a_source_for_every_fact_and_names_that_the_package_knows(facts):
    assert len(facts) == len(TEXT.splitlines()) - 1
    assert facts["source"].str.strip().all()
    assert set(facts["origin"]) == {"published"}
    assert set(facts["benchmark"]) <= set(benchmarks.BENCHMARKS)
    assert set(facts["metric"]) <= set(METRICS)
    assert not facts.duplicated([*published.KEY, "regularizer"]).any()


@pytest.mark.parametrize(
    ("columns", "value"),
    [
        (
            {
                "model": "bert-base-uncased",
                "method": "mabel",
                "regularizer": "none",
                "metric": "SS",
            },
            56.25,
        ),
        (
            {
                "model": "bert-base-uncased",
                "method": "bec",
                "regularizer": "as_released",
                "metric": "ICAT",
            },
            72.38,
        ),
        ({"method": "base", "metric": "TPR", "axis": "type1"}, 33.15),
        ({"method": "ase", "regularizer": "as_released", "metric": "TPR", "axis": "type2"}, 8.16),
        ({"method": "mabel", "metric": "TPR-GAP"}, 0.605),
    ],
)
def test_known_facts(facts, columns, value):
    assert only(facts, **columns)["value"] == value


def test_scores_and_their_ICAT_belong_together(facts):
    """ICAT follows from LM and SS, up to rounding and to means of it over seeds: three facts, each
    copied for itself, agree.
    """
    wide = (
        facts[(facts["benchmark"] == "stereoset_intra") & (facts["axis"] == "gender")]
        .pivot_table(
            index=["model", "method", "regularizer", "split"], columns="metric", values="value"
        )
        .dropna()
    )
    assert len(wide) == 6
    expected = wide["LM"] * wide["SS"].where(wide["SS"] <= 50, 100 - wide["SS"]) / 50
    assert wide["ICAT"].to_numpy() == pytest.approx(expected.to_numpy(), abs=0.04)


def test_a_byte_order_mark_is_no_fault(tmp_path, facts):
    (tmp_path / "facts.csv").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert published.load(tmp_path / "facts.csv").equals(facts)


def bad(change, field=6):
    fields = GOOD.split(",")
    fields[field] = change
    return f"{HEADER}\n{GOOD.replace('ICAT', 'LM')}\n{','.join(fields)}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bad("74,55"), "line 3: not 8 fields"),
        (bad("74.55%"), "line 3, column value: '74.55%' is no number"),
        (bad("nan"), "line 3, column value: 'nan' is no number"),
        (bad("7_4"), "line 3, column value: '7_4' is no number"),
        (bad("9" * 400), "line 3, column value: .* is no number"),
        (bad("", field=7), "line 3, column source: ''; write some text"),
        (bad("MABLE", field=1), "line 3, column method: 'MABLE'; choose base, "),
        (
            bad("stereoset", field=2),
            "line 3, column benchmark: 'stereoset'; choose stereoset_intra",
        ),
        (bad("icat", field=5), "line 3, column metric: 'icat'; choose"),
        (bad(" test", field=3), "line 3, column split: ' test'; write"),
        (bad('"unclosed', field=0), "line 3: "),
        (
            f"{HEADER}\n{GOOD}\n{GOOD.replace('74.55', '74.56')}\n",
            "line 3: the same fact as in line 2",
        ),
        (f"{HEADER.replace(',source', '')}\n{GOOD}\n", "line 1: the columns are not model, method"),
        (f"{HEADER}\n", "has no rows"),
        ("", "line 1: the columns are not"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_column(tmp_path, text, message):
    (tmp_path / "facts.csv").write_text(text)
    with pytest.raises(FairNCError, match=f"^facts.csv.*{message}"):
        published.load(tmp_path / "facts.csv")


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(FairNCError, match=r"none.csv: No such file.*book/published.csv"):
        published.load(tmp_path / "none.csv")
    (tmp_path / "facts.csv").write_bytes(f"{HEADER}\n".encode() + b"\xff\xfe")
    with pytest.raises(FairNCError, match="no UTF-8 text from byte 54"):
        published.load(tmp_path / "facts.csv")


def read(path):
    """What was read, and what was said if nothing was."""
    try:
        return published.load(path), ""
    except FairNCError as error:
        return None, str(error)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.lists(st.text(max_size=12) | st.sampled_from(GOOD.split(",")), min_size=0, max_size=9),
        max_size=4,
    ),
    header=st.just(HEADER) | st.text(max_size=20),
    noise=st.binary(max_size=6),
)
def test_any_file_is_read_or_refused_in_one_sentence(tmp_path, rows, header, noise):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    (tmp_path / "facts.csv").write_bytes(
        f"{header}\n{text.getvalue()}".encode("utf-8", "surrogatepass") + noise
    )
    table, message = read(tmp_path / "facts.csv")
    assert ("facts.csv" in message) if table is None else table["value"].notna().all()
