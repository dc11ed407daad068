"""The service: settings, URLs, and the servers that development and tests run on."""
