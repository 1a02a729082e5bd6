"""What the bytes of a model file say, read without the libraries that wrote them."""
