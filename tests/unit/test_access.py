"""What files and owners are allowed."""

import pytest

from tusfm.domain.access import file_name_fits, file_type_fits, is_owner


@pytest.mark.parametrize(
    ("allowed", "kind", "fits"),
    [
        (None, None, True),
        (("image/*",), "image/png", True),
        (("image/*",), "IMAGE/PNG; a=b", True),
        (("image/*",), "imagex/png", False),
        (("image/png",), "image/jpeg", False),
        (("image/png",), "", False),
        (("image/png",), None, False),
        (("image/*",), "image", False),
        (("image/*",), "text/html image/png", False),
    ],
)
def test_types_of_files(allowed: tuple[str, ...] | None, kind: str | None, fits: bool) -> None:  # noqa: FBT001  a table
    """A type fits by itself or by its group; where only some are allowed, none is not."""
    assert file_type_fits(allowed, kind) is fits


@pytest.mark.parametrize(
    ("allowed", "name", "fits"),
    [
        (None, None, True),
        (("*.jpg", "*.png"), "A.JPG", True),
        (("*.jpg",), "a.jpg.exe", False),
        (("*.jpg",), None, False),
        (("*.JPG",), "a.jpg", True),
    ],
)
def test_names_of_files(allowed: tuple[str, ...] | None, name: str | None, fits: bool) -> None:  # noqa: FBT001  a table
    """Patterns are blind to letter case, and hold for the whole name."""
    assert file_name_fits(allowed, name) is fits


def test_owners() -> None:
    """An owner's name is text that a database compares as it stands."""
    assert all(map(is_owner, ("bob", "a b", "Zoë", "x" * 255)))
    assert not any(map(is_owner, ("", " ", "a ", "a\t", "x" * 256, None, 5, "\ud800")))
