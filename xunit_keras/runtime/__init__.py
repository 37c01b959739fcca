"""A photograph through a network file, without Keras: tiles, engines, the zoo."""
