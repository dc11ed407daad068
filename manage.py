#!/usr/bin/env python
"""Run a management command of the service."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from somabrain.errors import SomabrainError


def main() -> None:
    """Run the command that the arguments name, with the service's settings unless others are asked for."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "somabrain.settings")
    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, SomabrainError) as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
