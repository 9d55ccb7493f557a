"""Measures that radiologists take: the cardiothoracic ratio, the Cobb angle, the areas of the lungs."""
