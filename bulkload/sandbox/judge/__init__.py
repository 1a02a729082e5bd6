"""What the registry makes of an uploaded file, and when."""
