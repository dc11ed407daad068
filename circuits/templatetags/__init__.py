"""What templates of circuits need."""
