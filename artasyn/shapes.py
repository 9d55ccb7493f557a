"""Array types with dtypes and shapes, as annotations write them: ``Float32[np.ndarray, "h w"]``.

The types come from jaxtyping. Tests check them on every call. Without jaxtyping, as in an installation
of the torch-free part alone, an annotation is the plain array type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int16, Int32, Int64, Integer, Shaped, UInt8, UInt16
else:
    try:
        from jaxtyping import Bool, Float, Float32, Float64, Int, Int16, Int32, Int64, Integer, Shaped, UInt8, UInt16
    except ImportError:

        class _Plain:
            """An array type without its dtype and shape."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Float32 = Float64 = Int = Int16 = Int32 = Int64 = Integer = Shaped = UInt8 = UInt16 = _Plain

__all__ = [
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Int",
    "Int16",
    "Int32",
    "Int64",
    "Integer",
    "Shaped",
    "UInt8",
    "UInt16",
]
