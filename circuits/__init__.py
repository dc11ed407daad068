"""Circuit breakers per tenant. Knows nothing of the outbox, which may build on it."""
