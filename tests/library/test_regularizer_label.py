"""A regularizer's label: every one of the recorded rows is read and written alike."""

import pytest

from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs import rows


def recorded():
    """Labels of the recorded rows; those of a map of several trainings name each."""
    texts = rows.recorded()["regularizer"].unique()
    return sorted({label for text in texts for label in text.split(" and ")})


@pytest.mark.parametrize("text", recorded())
def test_recorded_labels_are_written_as_they_were_read(text):
    assert str(RegularizerLabel.parse(text)) == text


def test_labels_say_what_differs_from_the_preset():
    label = RegularizerLabel.parse(
        "as_released,decay=0.9,labels=aligned,masked_labels=False,words=gender,frozen=embeddings"
    )
    changes = (("decay", 0.9), ("labels", "aligned"), ("masked_labels", False))
    assert label == RegularizerLabel("as_released", changes, "gender", "embeddings")
    assert RegularizerLabel.parse("none") == RegularizerLabel("none")


def test_words_may_be_those_of_a_file_of_any_name():
    label = RegularizerLabel("corrected", (("kind", "both"),), "my words, v=2.csv", "embeddings")
    assert str(label) == "corrected,kind=both,words=my words, v=2.csv,frozen=embeddings"
    assert RegularizerLabel.parse(str(label)) == label


@pytest.mark.parametrize(
    "text", ["", "on", "corrected,", "corrected,kind", "corrected,kind=a=b", "none and corrected"]
)
def test_other_texts_are_no_labels(text):
    with pytest.raises(
        FairNCError, match="is no label: write none, corrected, repaired, as_released"
    ):
        RegularizerLabel.parse(text)
