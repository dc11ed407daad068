"""The service at work: real webhooks become transactions, and their events arrive in Kafka, for a person to see.

`services` runs what a deployment runs, `application` is the application, `comparison` the consumer that checks.
"""
