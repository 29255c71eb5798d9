"""Color profiles (ICC): detection, and conversion to sRGB, which everything in ganas assumes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, features

from ganas.data.repairs import MAX_PROFILE_BYTES
from ganas.errors import shown

# Color space of a profile -> mode before and after conversion
_MODES = {"RGB": ("RGB", "RGB"), "GRAY": ("L", "RGB"), "CMYK": ("CMYK", "RGB")}
_GRAYS = ("1", "L", "LA")
_MAX_ERROR = 2  # levels of 255: sRGB profiles differ by this much among each other
_MAX_ERROR_BY_NAME = 16  # "sRGB v4 preference" differs by more; a linear profile by far more
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Profile:
    """The color profile of an image."""

    name: str  # "Display P3"
    space: str  # a key of _MODES
    is_srgb: bool
    to_srgb: Any = None  # Pillow's transform; None: not needed, or not available
    to_srgb_beside_alpha: Any = None  # the same for RGBA

    def fits(self, mode: str) -> bool:
        """Whether the profile applies to images of this mode: a gray profile does not apply to a color image."""
        if self.space == "GRAY":
            return mode in _GRAYS or mode == "F" or mode.startswith("I")
        return (self.space == "CMYK") == (mode == "CMYK")

    def apply(self, image: Image.Image) -> Image.Image:
        """Convert an image of up to 8 bits a sample to sRGB: RGB, or RGBA if it has transparency."""
        from PIL import ImageCms

        transform = self.to_srgb
        if self.space == "RGB":
            beside_alpha = image.has_transparency_data
            transform = self.to_srgb_beside_alpha if beside_alpha else transform
            stored = image.convert("RGBA" if beside_alpha else "RGB")
        else:
            stored = image.convert(_MODES[self.space][0])
        color = ImageCms.applyTransform(stored, transform)
        assert color is not None  # None only for in-place conversion
        if self.space == "GRAY" and image.mode == "LA":
            color.putalpha(image.getchannel("A"))
        return color


def can_convert() -> bool:
    """Whether this Pillow was built with LittleCMS."""
    return bool(features.check_module("littlecms2"))


@lru_cache(maxsize=32)
def find_profile(content: bytes) -> Profile | None:
    """Parse a profile and build its transforms, which are thread-safe; None for a damaged profile."""
    if not can_convert():
        return Profile("of unknown name", content[16:20].decode("latin-1").strip(), is_srgb=b"sRGB" in content)
    from PIL import ImageCms

    if len(content) >= MAX_PROFILE_BYTES:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        space = profile.profile.xcolor_space.strip()
        name = shown(ImageCms.getProfileDescription(profile).strip()[:_LONGEST_NAME]) or "without a name"
        before, after = _MODES[space]
        srgb = ImageCms.createProfile("sRGB")
        options: Mapping[str, Any] = {
            "renderingIntent": ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # without a cache of the last pixel, which threads would share
            "flags": ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
        }
        to_srgb = ImageCms.buildTransform(profile, srgb, before, after, **options)
        if _is_srgb(name, space, to_srgb):
            return Profile(name, space, is_srgb=True)
        if space != "RGB":
            return Profile(name, space, False, to_srgb)
        return Profile(name, space, False, to_srgb, ImageCms.buildTransform(profile, srgb, "RGBA", "RGBA", **options))
    except Exception:  # LittleCMS and Pillow raise many exception types
        return None


def _is_srgb(name: str, space: str, to_srgb: Any) -> bool:
    """Compare the transform with the identity. There are many sRGB profiles, and their images must not change."""
    from PIL import ImageCms

    if space == "CMYK":
        return False
    levels = np.linspace(0, 255, 256 if space == "GRAY" else 9).round().astype(np.uint8)
    if space == "GRAY":
        probe = levels[None]
    else:
        probe = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    found = ImageCms.applyTransform(Image.fromarray(probe), to_srgb)
    expected = probe if space == "RGB" else probe[..., None]
    most = _MAX_ERROR_BY_NAME if name.lower().startswith("srgb") else _MAX_ERROR
    return bool(np.abs(np.asarray(found).astype(int) - expected).max() <= most)
