"""A tenant-fair transactional outbox for Django, PostgreSQL and Kafka."""

__version__ = "0.1.0"
