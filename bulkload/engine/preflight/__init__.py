"""What is looked at before the first upload: manifest, registry, workspaces, files."""
