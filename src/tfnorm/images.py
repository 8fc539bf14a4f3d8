"""Images: how they are decoded where the default will not do, and whether a backbone normalizes by itself.

    fitted = tfnorm.fit(tfnorm.images.open("photos/", channels=3), "standard")

The one law: statistics are those of the pixels that training sees, channel by channel over all pixels, exact for what is counted.
"""

from __future__ import annotations

from typing import Any, Literal

from tfnorm.errors import DataError
from tfnorm.sources import Source, open_source


def open(  # as in tfnorm.images.open
    data: Any,
    *,
    column: str | None = None,
    channels: int = 0,
    decoder: Literal["tensorflow", "pillow"] | None = None,
    dct_method: Literal["INTEGER_FAST", "INTEGER_ACCURATE"] = "INTEGER_FAST",
    max_pixels: int | None = None,
) -> Source:
    """Images as a source for `fit` and `scan`: JPEG, PNG, WebP, BMP, of 8 or 16 bits, of any size.

    data: image files, globs, folders (`class/x.jpg`); or, with `column`, any other source that holds them encoded there.
    column: the column of encoded images, in Parquet, TFRecord, Arrow files or tables.
    channels: 1 grey, 3 RGB, 4 RGBA, as in `tf.io.decode_jpeg`; 0 for as many as the images have, which then must be one number.
    decoder: who decodes; TensorFlow where it is installed, since training decodes with it, else Pillow. It is named in the
        artefact. JPEGs differ: TensorFlow's default is darker than Pillow by up to 0.8 of 255.
    dct_method: that of training; `tf.io.decode_jpeg` has INTEGER_FAST by default, and Pillow is INTEGER_ACCURATE.
    max_pixels: larger images are refused before they are decoded; 178,956,970 by default, as Pillow's.

    Channels are counted value by value, so techniques that take them together (whiten, l2) are refused.
    """
    from tfnorm.sources import images, paths
    from tfnorm.sources.decoding import MAX_PIXELS, Decoder

    decoding = Decoder.of(decoder, channels, dct_method, MAX_PIXELS if max_pixels is None else max_pixels)
    if column is not None:
        return images.open_encoded(open_source(data), column, decoding)
    if not paths.is_path(data):
        raise DataError(
            f"images: expected paths, globs or folders, got {type(data).__name__}. Name the column that holds encoded images: "
            "column=..."
        )
    patterns = list(data) if isinstance(data, (list, tuple)) else [data]
    return images.open_images(", ".join(map(str, patterns[:3])), paths.find_all(patterns), decoding)


def check(backbone: Any) -> Any:
    """Whether a model of `keras.applications` normalizes its input by itself, so that nobody scales twice.

    backbone: its name ("EfficientNetB0"), the function, or a model that was built of it.

    Returns a `Backbone`: `normalizes` (inside the model), `layers` (which do), `expects` (what it wants to be fed) and `advice`,
    which is what it prints. Needs Keras.
    """
    from tfnorm.keras_part import keras_part

    return keras_part().check_backbone(backbone)
