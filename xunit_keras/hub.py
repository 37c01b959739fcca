"""Models on Hugging Face and on Kaggle, by their addresses.

- `hf://user/name`, and `hf://user/name@revision` for a tag, a branch or a commit;
- `kaggle://owner/model/framework/variation`, and with `/3` behind it the version 3.

An address that ends in `#sha256=` and a digest (`xunit_keras.runtime.models.digest`) is
that of these very files. The clients, `huggingface_hub` and `kagglehub`, keep what they
downloaded, and know the accounts of those who upload.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from xunit_keras.packages import require

_EXTRA = "hub"
_HUGGING_FACE, _KAGGLE = _SCHEMES = ("hf://", "kaggle://")
_PATTERN = re.compile(
    r"hf://(?P<repository>[^/@#]+/[^/@#]+)(@(?P<revision>[^#]+))?(#sha256=(?P<sha256>\w+))?"
    r"|kaggle://(?P<variation>[^/@#]+(/[^/@#]+){3})(/(?P<version>\d+))?"
    r"(#sha256=(?P<digest>\w+))?"
)
_KAGGLE_LICENSES = {"Apache-2.0": "Apache 2.0"}


class Address(NamedTuple):
    """Where a model lies.

    Attributes:
        scheme: `"hf://"` or `"kaggle://"`.
        name: What the client calls it.
        version: A revision of Hugging Face, a version of Kaggle; None for the newest.
        sha256: The digest that its files must have; None for any.
    """

    scheme: str
    name: str
    version: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        mark = "@" if self.scheme == _HUGGING_FACE else "/"
        version = "" if self.version is None else f"{mark}{self.version}"
        pin = "" if self.sha256 is None else f"#sha256={self.sha256}"
        return f"{self.scheme}{self.name}{version}{pin}"


def is_address(name: str | Path) -> bool:
    """Whether a model is named by an address."""
    return isinstance(name, str) and name.startswith(_SCHEMES)


def parse(text: str) -> Address:
    """Reads an address.

    Raises:
        ValueError: It is none.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(
            "The address of a model is hf://user/name, hf://user/name@revision or "
            "kaggle://owner/model/framework/variation, with #sha256= and its digest "
            f"behind it where no other files will do. Received: {text!r}"
        )
    if match["repository"]:
        name, version = match["repository"], match["revision"]
        return Address(_HUGGING_FACE, name, version, match["sha256"])
    return Address(_KAGGLE, match["variation"], match["version"], match["digest"])


def fetch(address: Address, files: Sequence[str]) -> Path:
    """Downloads a model, or finds it where its client keeps what it downloaded.

    Nothing of it is opened.

    Args:
        address: Of the model.
        files: The names of the files that are wanted, of those that are there.

    Returns:
        The folder that they lie in.

    Raises:
        ImportError: The client is missing.
        OSError: The model cannot be had: there is none, it is private, or there is no
            connection.
    """
    if address.scheme == _HUGGING_FACE:
        hub = require("huggingface_hub", _EXTRA)

        def download():
            return hub.snapshot_download(
                address.name, revision=address.version, allow_patterns=list(files)
            )

    else:
        hub = require("kagglehub", _EXTRA)

        def download():
            version = "" if address.version is None else f"/{address.version}"
            return hub.model_download(address.name + version)

    return Path(_asked(download, f"{str(address)!r} cannot be fetched"))


def send(folder: Path, address: Address, title: str, license: str) -> Address:
    """Uploads all files of a folder, to a place that is made if need be.

    Args:
        folder: The folder.
        address: Where to.
        title: Of this upload.
        license: As a card names it, `"Apache-2.0"`.

    Returns:
        The address of what was uploaded, with the commit on Hugging Face.

    Raises:
        ValueError: The address is that of a version.
        ImportError: The client is missing.
        OSError: The upload fails.
    """
    if (address.version, address.sha256) != (None, None):
        raise ValueError(
            f"What is uploaded gets a version of its own. Received: {str(address)!r}"
        )
    if address.scheme == _HUGGING_FACE:
        hub = require("huggingface_hub", _EXTRA)

        def upload():
            hub.create_repo(address.name, exist_ok=True)
            # One commit: all of it or nothing.
            added = [
                hub.CommitOperationAdd(path.name, path)
                for path in sorted(folder.iterdir())
            ]
            commit = hub.create_commit(address.name, added, commit_message=title)
            return address._replace(version=commit.oid)

    else:
        hub = require("kagglehub", _EXTRA)

        def upload():
            known = _KAGGLE_LICENSES.get(license)
            hub.model_upload(address.name, str(folder), known, title)
            return address

    return _asked(upload, f"{str(address)!r} cannot be uploaded to")


def _asked(ask: Callable, failure: str):
    """What a client answers."""
    try:
        return ask()
    # Clients raise errors of many kinds, with pages of text.
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise OSError(f"{failure}: {reason}") from error
