"""axe-core, which finds what keeps people from using a page: fetched once per checkout through the user's own npm."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from somabrain.embedded import locks, maven
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.paths import CACHE, private

_VERSION = "4.14.1"
_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
_SCRIPT = "package/axe.min.js"
_HOME = CACHE / "npm"


@cache
def script() -> str:
    """The script that makes `axe` in a page. Raises `MissingProgram` when npm is neither here nor needed any more."""
    package = private(_HOME) / f"axe-core-{_VERSION}.tgz"
    with locks.exclusive(_HOME / "mutex"):
        if not package.exists():
            _fetch(package)
    with tarfile.open(package) as files:
        found = files.extractfile(_SCRIPT)
        assert found is not None, f"{package} has no {_SCRIPT}"
        return found.read().decode()


def _fetch(package: Path) -> None:
    draft = private(_HOME / "new")
    npm = maven.program("npm", package="npm")
    done = subprocess.run(
        [npm, "pack", f"axe-core@{_VERSION}", "--ignore-scripts", "--silent", "--pack-destination", str(draft)],
        cwd=_HOME,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    fetched = draft / package.name
    if done.returncode or not fetched.exists():
        raise EmbeddedServerError(f"npm could not fetch {package.name}:\n{(done.stdout + done.stderr).strip()}")
    found = base64.b64encode(hashlib.sha512(fetched.read_bytes()).digest()).decode()
    if found != _SHA512:
        fetched.unlink()
        raise EmbeddedServerError(f"{package.name} is not the release that is known here: its SHA-512 is {found}.")
    fetched.rename(package)
