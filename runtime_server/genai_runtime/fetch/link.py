"""The one path that a pod's containers know the model by: a symbolic link into the cache."""

from pathlib import Path

from genai_runtime.errors import InvalidSettings


def link_to(folder: Path, link: Path) -> None:
    """Make `link` a symbolic link to `folder`, in place of an earlier one. Raises `InvalidSettings`."""
    draft = link.with_name(f".{link.name}.new")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        draft.symlink_to(folder.absolute())
        draft.replace(link)
    except OSError as error:
        raise InvalidSettings(
            f"--link {link} cannot be made a link to the model: {error.strerror}; name a path that is free, in a "
            "folder that can be written"
        ) from None
