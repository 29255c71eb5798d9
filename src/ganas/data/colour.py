"""Colour profiles (ICC): which there are, and from theirs to sRGB, which is what everything here takes pixels to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, features

from ganas.data.repairs import MOST_PROFILE
from ganas.errors import shown

# Modes that a profile's colour space can be of, before and after, with and without transparency
_MODES = {"RGB": ("RGB", "RGB"), "GRAY": ("L", "RGB"), "CMYK": ("CMYK", "RGB")}
_GREYS = ("1", "L", "LA")
_UNSEEN = 2  # levels of 255: sRGB profiles differ by so much among each other
_UNSEEN_BY_NAME = 16  # "sRGB v4 preference" does what it likes; a linear one is far beyond
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Profile:
    """How the colours of an image are meant."""

    name: str  # "Display P3"
    space: str  # a key of _MODES
    is_srgb: bool
    to_srgb: Any = None  # a transform of Pillow's; None: none is needed, or nothing here can convert it
    to_srgb_beside_alpha: Any = None  # the same from RGBA to RGBA

    def fits(self, mode: str) -> bool:
        """Whether the profile is of such images: not so that of a grey image on one in colour."""
        if self.space == "GRAY":
            return mode in _GREYS or mode == "F" or mode.startswith("I")
        return (self.space == "CMYK") == (mode == "CMYK")

    def apply(self, image: Image.Image) -> Image.Image:
        """An image of up to 8 bits a sample -> sRGB: RGB, or RGBA where it has transparency."""
        from PIL import ImageCms

        transform = self.to_srgb
        if self.space == "RGB":
            beside_alpha = image.has_transparency_data
            transform = self.to_srgb_beside_alpha if beside_alpha else transform
            stored = image.convert("RGBA" if beside_alpha else "RGB")
        else:
            stored = image.convert(_MODES[self.space][0])
        colour = ImageCms.applyTransform(stored, transform)
        assert colour is not None  # as it would be in place
        if self.space == "GRAY" and image.mode == "LA":
            colour.putalpha(image.getchannel("A"))
        return colour


def can_convert() -> bool:
    """Whether this Pillow was built with what converts colours."""
    return bool(features.check_module("littlecms2"))


@lru_cache(maxsize=32)
def find_profile(content: bytes) -> Profile | None:
    """What a profile says, with its transforms; None for a damaged one. They may be used from several threads."""
    if not can_convert():
        return Profile("of unknown name", content[16:20].decode("latin-1").strip(), is_srgb=b"sRGB" in content)
    from PIL import ImageCms

    if len(content) >= MOST_PROFILE:
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
    except Exception:  # little cms and Pillow have an error for every damage
        return None


def _is_srgb(name: str, space: str, to_srgb: Any) -> bool:
    """By what it does, its name helping: there are many profiles of sRGB, and their images must stay as they are."""
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
    most = _UNSEEN_BY_NAME if name.lower().startswith("srgb") else _UNSEEN
    return bool(np.abs(np.asarray(found).astype(int) - expected).max() <= most)
