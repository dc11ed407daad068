"""What the outbox costs and reaches, measured side by side with the plainest loop that could do its work."""
