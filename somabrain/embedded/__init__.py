"""A PostgreSQL and a Kafka for development and tests, without packages or containers.

Nothing here is used once `DATABASE_URL` and `KAFKA_BOOTSTRAP_SERVERS` are set.
"""
