"""Public names of `ancestral.evaluation`."""

from ancestral.evaluation.annealing import Annealing as Annealing
from ancestral.evaluation.annealing import ais as ais
from ancestral.evaluation.detection import BatchTest as BatchTest
from ancestral.evaluation.detection import auroc as auroc
from ancestral.evaluation.detection import random_batches as random_batches
from ancestral.evaluation.enumeration import all_images as all_images
from ancestral.evaluation.kernel_distance import kernel_distance as kernel_distance
from ancestral.evaluation.known_conditionals import energy_scores as energy_scores
from ancestral.evaluation.known_conditionals import pixel_calibration as pixel_calibration
from ancestral.evaluation.known_truth import divergence as divergence
from ancestral.evaluation.known_truth import interval_coverage as interval_coverage
from ancestral.evaluation.known_truth import rank_correlation as rank_correlation
from ancestral.evaluation.likelihood import elbo as elbo
from ancestral.evaluation.likelihood import importance_weighted as importance_weighted
from ancestral.evaluation.neighbours import density_coverage as density_coverage
from ancestral.evaluation.neighbours import nearest as nearest
from ancestral.evaluation.neighbours import precision_recall as precision_recall
from ancestral.evaluation.pixel_features import fit_pixels as fit_pixels
from ancestral.evaluation.quality import frechet_distance as frechet_distance
from ancestral.evaluation.quality import inception_score as inception_score
from ancestral.evaluation.quality import near_copies as near_copies
from ancestral.evaluation.queries import entropy as entropy
from ancestral.evaluation.queries import log_marginal as log_marginal
