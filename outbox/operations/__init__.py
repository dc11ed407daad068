"""What commands, tasks and the admin have in common."""
