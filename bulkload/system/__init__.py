"""The operating system, as several rooms need it: private files, replacement, secrets, limits of this process."""
