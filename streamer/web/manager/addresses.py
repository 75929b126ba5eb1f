"""Where models and their files are on the pages."""

from urllib.parse import quote


def model_address(name: str, digest: str = "") -> str:
    """Return the address of a model's page, or of one version's."""
    return f"/model?name={quote(name, safe='')}{f'&digest={digest}' if digest else ''}"


def file_address(name: str, digest: str) -> str:
    """Return the address that a version's file is fetched from."""
    return f"/api/model/{quote(name, safe='')}/{digest}"


def compare_address(before: str) -> str:
    """Return the address of the page that compares a model, `name@digest`, with another."""
    return f"/compare?before={quote(before, safe='')}"
