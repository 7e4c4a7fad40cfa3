"""Public names of `ancestral.distributions`."""

from ancestral.distributions.bijections import Bijection as Bijection
from ancestral.distributions.bijections import Chain as Chain
from ancestral.distributions.bijections import FlowDistribution as FlowDistribution
from ancestral.distributions.bijections import InvertibleConv1x1 as InvertibleConv1x1
from ancestral.distributions.bijections import Logit as Logit
from ancestral.distributions.conditional import diagonal_gaussian as diagonal_gaussian
from ancestral.distributions.conditional import kl_parts as kl_parts
from ancestral.distributions.couplings import AffineCoupling as AffineCoupling
from ancestral.distributions.couplings import MaskedAutoregressive as MaskedAutoregressive
from ancestral.distributions.dequantisation import StandardLogistic as StandardLogistic
from ancestral.distributions.priors import GaussianMixture as GaussianMixture
