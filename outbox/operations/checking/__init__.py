"""Looks at everything the outbox needs, and says what is wrong with it."""
