"""What the registry takes: frameworks, schemas, names of models, and by which call a model goes."""
