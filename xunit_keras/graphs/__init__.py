"""Reading and rewriting the graph of a Keras model."""
