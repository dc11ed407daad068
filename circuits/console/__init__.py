"""What the admin pages of both apps share. Imports no model, so that checks run where an app is missing."""
