"""Training and scoring: `tf.data` pipelines and the programs around them."""
