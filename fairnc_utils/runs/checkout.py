"""The book's checkout: where the embedded model and the recorded runs lie. The library needs none."""

from pathlib import Path

from fairnc_utils.errors import FairNCError

#: The folder that holds this package: the checkout's root, unless the package was installed from a wheel.
HOME = Path(__file__).resolve().parents[2]


def is_checkout(folder: Path) -> bool:
    """Whether a folder is the root of a checkout."""
    return (folder / "_config.yml").is_file() and (folder / "fairnc_utils" / "runs").is_dir()


def find() -> Path | None:
    """The checkout that this package runs from, else the one that the current folder lies in, if
    there is one.
    """
    return next(filter(is_checkout, (HOME, *_upwards(Path.cwd()))), None)


def root() -> Path:
    """The checkout. Raises ``FairNCError`` where there is none."""
    if (folder := find()) is None:
        raise FairNCError(
            f"no checkout of the book holds {Path.cwd()}: run this in one, or name folders in full"
        )
    return folder


def located(model: str) -> str:
    """A model's name for ``models.load``: a folder of the checkout is found from every folder,
    others stay as they are.
    """
    if (
        not Path(model).exists()
        and (folder := find())
        and (folder / model / "config.json").is_file()
    ):
        return str(folder / model)
    return model


def _upwards(folder: Path) -> list[Path]:
    return [folder, *folder.parents]
