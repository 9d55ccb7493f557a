"""A small writer of masks, untrained, with a small anatomy network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SMALL: dict[str, Any] = {"size": 64, "width": 24, "layers": 1, "heads": 2, "inner": 16, "maps": 1}
NAMES = ("visible_lung_right", "visible_lung_left", "drawn_heart", "aorta")


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a writer and of its anatomy network."""
    import torch

    from artasyn.segment.anatomy.network import AnatomyNetwork
    from artasyn.segment.anatomy.settings import AnatomySettings
    from artasyn.segment.tokens.decoder import TokenNetwork
    from artasyn.segment.tokens.settings import TokenSettings

    folder = tmp_path_factory.mktemp("tokens")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = AnatomySettings(encoder="test_efficientnet", size=64, names=NAMES, widths=(16, 16, 16))
        AnatomyNetwork(settings).save_pretrained(folder / "anatomy")
        anatomy = AnatomyNetwork.from_pretrained(folder / "anatomy")
        network = TokenNetwork(TokenSettings(anatomy=anatomy.digest, names=NAMES, features=(16, 16), **SMALL))
        network.start_at(anatomy)
    network.save_pretrained(folder / "writer")
    return folder / "writer", folder / "anatomy"
