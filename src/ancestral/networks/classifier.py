"""A small convolutional classifier. Its last hidden layer is used as feature vector."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ancestral.core.serialization import registered

SMALL_SIDE = 16  # smaller images lose too much detail in a first layer with stride 2


@registered
class ImageClassifier(nn.Module):
    """Convolutions with batch normalisation, an average over all pixels, then one linear layer: images to logits.

    The averages are the feature vector. Like the pooled layer of an Inception network, it is non-negative and describes
    the content of the image, not positions.

    Args:      in_shape: (C, H, W). classes: number of classes. channels, strides, kernels: one per convolution;
               stride s divides the sides by s, rounded up. The last of `channels` is F, the number of features.
    Reference: features as in Heusel et al., 2017, arXiv 1706.08500.
    Example:
        >>> network = classifier_for((1, 8, 8), 10).eval()
        >>> x = __import__("torch").zeros(5, 1, 8, 8)
        >>> network.features(x).shape, network(x).shape
        (torch.Size([5, 32]), torch.Size([5, 10]))
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        classes: int,
        channels: Sequence[int],
        strides: Sequence[int],
        kernels: Sequence[int],
    ) -> None:
        super().__init__()
        self.in_shape, self.classes = tuple(in_shape), classes
        layers: list[nn.Module] = []
        width = in_shape[0]
        for next_width, stride, kernel in zip(channels, strides, kernels, strict=True):
            layers += [
                nn.Conv2d(width, next_width, kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(next_width),
                nn.ReLU(),
            ]
            width = next_width
        self.convolutions = nn.Sequential(*layers)
        self.num_features = width
        self.head = nn.Linear(width, classes)

    def features(self, x: Tensor) -> Tensor:
        """The feature vectors of grey values in [0, 1]: (B, C, H, W) to (B, F)."""
        return self.convolutions(2 * x - 1).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the classes: (B, F) to (B, classes)."""
        return self.head(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.features(x))


def classifier_for(in_shape: Sequence[int], classes: int) -> ImageClassifier:
    """The classifier for images of a size: about 60,000 parameters; fewer and smaller kernels for small images.

    Args:      in_shape: (C, H, W). classes: number of classes.
    """
    if max(in_shape[1:]) <= SMALL_SIDE:
        return ImageClassifier(in_shape, classes, (16, 32, 32), (1, 2, 1), (3, 3, 3))
    return ImageClassifier(in_shape, classes, (24, 32, 48, 64), (2, 1, 2, 2), (5, 3, 3, 3))
