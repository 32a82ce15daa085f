"""The data card says what the recorded study's files are, and other programs can read it."""

import json

import pandas as pd
import pyarrow.parquet
import pytest

from fairnc_utils import assets
from fairnc_utils.runs import checkout, data_card, recording
from fairnc_utils.runs.rows import RECORDED, RESULT_COLUMNS, UNIT_COLUMNS

STUDY = checkout.root() / RECORDED / "study"


def committed() -> dict:
    return json.loads((STUDY / data_card.FILE).read_text())


def test_the_card_is_what_the_study_says():
    assert committed() == data_card.card(STUDY)


def test_every_file_has_its_hash_and_size():
    files = {file["name"]: file for file in committed()["distribution"]}
    assert set(files) | {data_card.FILE} == set(recording.FILES)
    for name, file in files.items():
        assert file["sha256"] == assets.sha256(STUDY / name)
        assert file["contentSize"] == f"{(STUDY / name).stat().st_size} B"


@pytest.mark.parametrize(
    ("name", "columns"), [("results", RESULT_COLUMNS), ("units", UNIT_COLUMNS)]
)
def test_every_column_is_a_field_of_its_type(name, columns):
    (records,) = [records for records in committed()["recordSet"] if records["name"] == name]
    fields = {field["source"]["extract"]["column"]: field for field in records["field"]}
    assert tuple(fields) == columns
    frame = pyarrow.parquet.read_table(STUDY / f"{name}.parquet").slice(0, 5).to_pandas()
    for column, field in fields.items():
        is_number = pd.api.types.is_numeric_dtype(frame[column])
        assert field["dataType"].startswith("cr:Float" if is_number else "sc:Text"), column


def test_what_the_card_counts_is_in_the_provenance():
    runs = recording.runs()
    card = committed()
    assert f"{len(runs)} recorded runs" in card["description"]
    assert {run["created"][:10] for run in runs.values()} >= {
        card["dateCreated"],
        card["datePublished"],
    }
    for method in {run["config"]["method"] for run in runs.values() if "method" in run["config"]}:
        assert method in card["description"]


def test_a_changed_file_shows(tmp_path):
    """The control: one more byte in a file is another card."""
    for name in recording.FILES:
        (tmp_path / name).write_bytes((STUDY / name).read_bytes())
    (tmp_path / "provenance.json").write_text((STUDY / "provenance.json").read_text() + "\n")
    assert data_card.card(tmp_path) != committed()


def test_fields_come_from_listed_files():
    """What a reader needs is there, and every field comes from a file that is listed."""
    card = committed()
    assert card["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert {"name", "description", "license", "creator", "citeAs", "datePublished"} <= set(card)
    ids = [thing["@id"] for thing in card["distribution"]]
    used = {
        field["source"]["fileObject"]["@id"]
        for records in card["recordSet"]
        for field in records["field"]
    }
    assert used <= set(ids)
