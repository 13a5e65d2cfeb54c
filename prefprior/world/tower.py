"""The miniature CLIP's image tower, known to timm as `world_tower`, so that an open_clip config can name it.

Patches of 4 x 4, plain convolutions, and a read-out that keeps positions. Measured on this world, with the same
supervision and samples: open_clip's ModifiedResNet and a small ViT, which pool over positions, stood near chance on
most factors where this one had learned most of them.

Shapes: N pictures, C channels, Y X rows and columns.
"""

from typing import Any

from timm.models import register_model
from torch import Tensor, nn

# (channels, stride) of the 3 x 3 convolutions after the patches: 16 x 16, then 8 x 8, then 4 x 4.
PATCH, FIRST = 4, 64
LAYERS = ((64, 1), (64, 1), (128, 2), (128, 1), (128, 2))
SIDE_OUT = 4


class WorldTower(nn.Module):
    """Pictures of 64 x 64 to a flat map of features; open_clip's adapter puts the projection on top."""

    default_cfg: dict[str, Any] = {"input_size": (3, 64, 64)}  # noqa: RUF012 (an attribute timm's users read)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, FIRST, PATCH, stride=PATCH, bias=False),
            nn.BatchNorm2d(FIRST),
            nn.ReLU(),
        ]
        before = FIRST
        for channels, stride in LAYERS:
            layers += [nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            before = channels
        self.layers = nn.Sequential(*layers)
        self.num_features = before * SIDE_OUT**2

    def reset_classifier(self, num_classes: int) -> None:
        """timm's way to take the classifier off; there is none."""
        assert num_classes == 0

    def forward(self, image_NCYX: Tensor) -> Tensor:
        """Features (N, num_features), every position kept."""
        return self.layers(image_NCYX).flatten(1)


@register_model
def world_tower(pretrained: bool = False, **unused: Any) -> WorldTower:
    """The tower, untrained: its weights come with the whole CLIP's."""
    return WorldTower()
