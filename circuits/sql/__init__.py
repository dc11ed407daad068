"""The statements the ORM cannot say, one file each."""

from circuits.statements import loader

load = loader(__name__)
