"""TensorFlow's SavedModel, which loads without this package."""

from xunit_keras.exporting.formats.base import Format, Order, Precision
from xunit_keras.runtime.engines.base import Form


def _write(order: Order) -> None:
    import keras
    import tensorflow as tf

    model = order.model

    def restore_float(image):
        return {"restored": model(image, training=False)}

    def restore_uint8(image):
        restored = model(tf.cast(image, "float32") / 255.0, training=False)
        restored = tf.round(tf.clip_by_value(restored, 0.0, 1.0) * 255.0)
        return {"restored": tf.cast(restored, "uint8")}

    def signature(dtype):
        return [tf.TensorSpec(order.shape, dtype, name="image")]

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", restore_float, signature("float32"))
    archive.add_endpoint("uint8", restore_uint8, signature("uint8"))
    archive.write_out(str(order.path), verbose=False)


FORMAT = Format(
    name="saved_model",
    aliases=("tf_saved_model",),
    title="a TensorFlow SavedModel",
    suffix="",
    engine="keras",
    precisions={"float32": Precision(Form())},
    write=_write,
)
