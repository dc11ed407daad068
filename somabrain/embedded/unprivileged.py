"""PostgreSQL refuses to run as root, so under root its programs run as `nobody`."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

_USER = "nobody"
_TRAVERSE = stat.S_IXOTH
_READ = stat.S_IROTH


def run(
    command: Sequence[str | Path], *, directory: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as a user that PostgreSQL accepts."""
    account = _account()
    return subprocess.run(  # noqa: S603  only the embedded servers call this, with commands of their own
        [str(part) for part in command],
        env=dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=[] if account else None,
    )


def own(path: Path) -> None:
    """Give a file or directory to the user that programs run as, and let that user reach it."""
    account = _account()
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)
        _let_through(path)


def let_read(directory: Path) -> None:
    """Let the user that programs run as read everything below a directory; adds rights, takes none."""
    if _account() is None:
        return
    _let_through(directory)
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            _add(path, _READ | (_TRAVERSE if path.is_dir() or mode & stat.S_IXUSR else 0))


def _let_through(path: Path) -> None:
    """Parents can be passed by who knows the name below them, not listed."""
    for parent in path.parents:
        _add(parent, _TRAVERSE)


def _add(path: Path, rights: int) -> None:
    mode = path.stat().st_mode
    if mode & rights != rights:
        path.chmod(stat.S_IMODE(mode) | rights)


@lru_cache(maxsize=1)
def _account() -> pwd.struct_passwd | None:
    return pwd.getpwnam(_USER) if os.geteuid() == 0 else None
