#!/usr/bin/env python
"""Run a management command of the service."""

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command that the arguments name, with the service's settings unless others are asked for."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "somabrain.settings")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
