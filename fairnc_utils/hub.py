"""Datasets of the hub, at pinned revisions or from a folder of one's own."""

from fairnc_utils import assets
from fairnc_utils._extras import needs
from fairnc_utils.errors import FairNCError, brief

with needs("measure"):
    import datasets


def dataset(name: str, split: str, config: str | None = None) -> datasets.Dataset:
    """A hub dataset at its pinned revision (``name@revision`` for others), or the same from
    ``$FAIRNC_DATA/<name>``.
    """
    name, revision = assets.pinned(name)
    local = assets.override(name)
    if local is not None and local.is_dir():
        try:
            return datasets.load_dataset(str(local), config, split=split)
        except (
            Exception
        ) as error:  # of many types; code that lies in the folder is refused, not run
            raise FairNCError(
                f"dataset {name}: {local} cannot be read ({brief(error)}); keep data files there"
            ) from error
    if reason := assets.hub_silence():
        raise FairNCError(
            f"dataset {name}: the hub does not answer ({reason}); put a copy at $FAIRNC_DATA/{name}, or set HF_HUB_OFFLINE=1 "
            "if the hub's cache has it"
        )
    try:
        return datasets.load_dataset(name, config, split=split, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise FairNCError(
            f"dataset {name}: the hub has no answer ({reason}); put a copy at $FAIRNC_DATA/{name}"
        ) from error
