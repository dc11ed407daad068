"""What staff do, in the admin and by commands."""
