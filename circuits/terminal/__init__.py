"""What the commands of both apps share: people at a terminal, what they type and what they are shown."""
