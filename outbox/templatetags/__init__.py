"""What templates of the console need."""
