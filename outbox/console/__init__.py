"""What the pages draw from: pure functions, without a database or a request."""
