"""pytest loads the plugin at its start, in every project that has the wheel."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import clean_environment


def test_loading_the_plugin_needs_no_settings_and_loads_no_models() -> None:
    program = "import sys, outbox.pytest_plugin; sys.exit('django.db.models' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=clean_environment(), check=False)
    assert done.returncode == 0
