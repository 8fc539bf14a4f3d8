"""From the bytes of an image to its pixels, by TensorFlow or by Pillow. The only file that imports Pillow.

The one law: nothing is decoded before its header says how large it is, and no bit of what it holds is dropped unsaid.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from tfnorm.errors import ChoiceError, DataError, needs
from tfnorm.sources.columns import cell

MAX_PIXELS = 178_956_970  # what Pillow takes for a bomb

_METHODS = ("INTEGER_FAST", "INTEGER_ACCURATE")
_WITH_SIZE = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers of a JPEG that tell its size


class Header(NamedTuple):
    """What the first bytes of an image say."""

    kind: str  # "JPEG", "PNG", "WebP" or "BMP"
    width: int
    height: int
    bits: int = 8


@dataclass(frozen=True)
class Decoder:
    """Who decodes, and how."""

    library: Literal["tensorflow", "pillow"]
    version: str
    channels: int  # 0 for as many as an image has
    dct_method: str  # of JPEG, by TensorFlow: its default drops accuracy for speed
    max_pixels: int = MAX_PIXELS

    @classmethod
    def of(cls, library: str | None, channels: int, dct_method: str, max_pixels: int = MAX_PIXELS) -> Decoder:
        """None is TensorFlow where it is installed."""
        if library not in (None, "tensorflow", "pillow"):
            raise ChoiceError(f'decoder must be "tensorflow" or "pillow", got {library!r}.')
        if dct_method not in _METHODS:
            raise ChoiceError(f"dct_method must be {' or '.join(_METHODS)}, got {dct_method!r}.")
        if channels not in (0, 1, 3, 4):
            raise ChoiceError(f"channels must be 1, 3 or 4, or 0 for as many as the images have; got {channels!r}.")
        found = library or ("tensorflow" if importlib.util.find_spec("tensorflow") else "pillow")
        if found == "tensorflow":
            with needs("tf", "images"):
                from tensorflow import __version__ as version
            return cls("tensorflow", version, channels, dct_method, max_pixels)
        with needs("images", "images"):
            from PIL import __version__ as version
        return cls("pillow", version, channels, dct_method, max_pixels)

    def __str__(self) -> str:
        asked = f", channels={self.channels}" if self.channels else ""
        method = f", dct_method={self.dct_method}" if self.library == "tensorflow" else ""
        return f"{self.library} {self.version}{method}{asked}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever fits should know."""
        if self.library == "tensorflow":
            return (f"images are decoded by {self}: decode them so in training, too",)
        return (
            f"images are decoded by {self}: tf.io.decode_jpeg gives the same pixels only with dct_method='INTEGER_ACCURATE'; "
            "its default makes JPEGs darker by up to 0.8 of 255",
        )

    def __call__(self, data: bytes, where: str) -> np.ndarray:
        """The pixels of an image, (height, width, channels), uint8 or uint16."""
        header = header_of(data, where)
        if header.width * header.height > self.max_pixels:
            raise DataError(
                f"{where}: its header says {header.width} x {header.height} pixels, and more than {self.max_pixels} are refused: "
                "it may be made to fill memory. Leave it out, or allow more: tfnorm.images.open(..., max_pixels=...)."
            )
        pixels = (_by_tensorflow if self.library == "tensorflow" else _by_pillow)(data, header, self, where)
        if pixels.shape[:2] != (header.height, header.width):
            raise DataError(
                f"{where}: expected {header.width} x {header.height} pixels as its header says, got {pixels.shape}."
            )
        return pixels


def header_of(data: bytes, where: str) -> Header:
    """Kind, size and bits of an image, from its first bytes."""
    try:
        found = _header(data)
    except (struct.error, IndexError):
        raise DataError(f"{where}: the image is cut short in its header. Leave it out.") from None
    if found is None:
        got = "no bytes" if not data else f"bytes that begin {data[:4].hex(' ')}"
        raise DataError(f"{where}: expected a JPEG, PNG, WebP or BMP image, got {got}. Leave it out, or convert it.")
    return found


def is_encoded(data: bytes) -> bool:
    """Whether bytes begin as those of an image of a known kind."""
    known = data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or data[:4] + data[8:12] == b"RIFFWEBP"
    return known or (data[:2], data[6:10]) == (b"BM", bytes(4))  # which texts may begin with, less the zeros


def _header(data: bytes) -> Header | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height, bits = struct.unpack_from(">IIB", data, 16)
        return Header("PNG", width, height, bits)
    if data.startswith(b"\xff\xd8"):
        at = 2
        while True:
            marker, length = struct.unpack_from(">xBH", data, at)
            if data[at] != 0xFF:
                return None
            if marker in _WITH_SIZE:
                bits, height, width = struct.unpack_from(">BHH", data, at + 4)
                return Header("JPEG", width, height, bits)
            at += 1 if marker == 0xFF else 2 + length
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data, 18)
        return Header("BMP", width, abs(height))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        if data[12:16] == b"VP8X":
            sizes = int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little")
            return Header("WebP", sizes[0] + 1, sizes[1] + 1)
        if data[12:16] == b"VP8L":
            (packed,) = struct.unpack_from("<I", data, 21)
            return Header("WebP", (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WebP", width & 0x3FFF, height & 0x3FFF)
    return None


def _by_tensorflow(data: bytes, header: Header, decoder: Decoder, where: str) -> np.ndarray:
    import tensorflow as tf

    try:
        with tf.device("CPU"):
            if header.kind == "JPEG":
                # as TensorFlow takes it without a detour, which costs more than reading the file: a tensor, and a whole number
                # that is a float
                found = tf.raw_ops.DecodeJpeg(
                    contents=tf.constant(data),
                    channels=decoder.channels,
                    dct_method=decoder.dct_method,
                    acceptable_fraction=1.0,
                )
            elif header.kind == "PNG":
                found = tf.io.decode_png(data, decoder.channels, dtype=tf.uint16 if header.bits == 16 else tf.uint8)
            elif header.kind == "BMP":
                found = tf.io.decode_bmp(data, decoder.channels)
            else:
                found = tf.io.decode_webp(data, decoder.channels)[0]  # of an animation the first picture
            return np.asarray(found)  # shares its memory; .numpy() would copy
    except tf.errors.OpError as error:
        raise _broken(where, error.message.rpartition("}} ")[2]) from None


def _by_pillow(data: bytes, header: Header, decoder: Decoder, where: str) -> np.ndarray:
    from PIL import Image

    wide = header.kind == "PNG" and header.bits == 16
    try:
        with Image.open(io.BytesIO(data), formats=[header.kind]) as image:
            if wide and (not image.mode.startswith("I") or decoder.channels not in (0, 1)):
                raise DataError(f'{where}: Pillow drops half of 16 bits of colour. Decode with decoder="tensorflow".')
            if wide:
                return np.asarray(image).astype(np.uint16)[:, :, None]
            modes = {0: _mode(image), 1: "L", 3: "RGB", 4: "RGBA"}
            mode = modes[decoder.channels]
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
            return pixels[:, :, None] if pixels.ndim == 2 else pixels
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise _broken(where, error) from None


def _mode(image: Any) -> str:
    """How TensorFlow would have it: a palette as its colours, and four inks as RGB."""
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    return {"1": "L", "CMYK": "RGB", "YCCK": "RGB", "RGBX": "RGB"}.get(image.mode, image.mode)


def _broken(where: str, error: object) -> DataError:
    return DataError(
        f"{where}: the image cannot be decoded: {cell(error, 160)}. It is cut short or damaged: leave it out."
    )
