"""How an event gets into the table: validated first, then written by one statement."""
