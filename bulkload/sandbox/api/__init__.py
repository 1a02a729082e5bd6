"""What the sandbox answers: endpoints, shapes, and the documents that describe them."""
