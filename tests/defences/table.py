"""The table of broken defences: where each is made, its paper or mistake, and the indicators that should report it."""

from __future__ import annotations

from defences import activations, backwards, denoising, heads, misused, quantising, randomised, scaled, stateful
from defences.defence import Defence

NONE = ("no_gradient",)
FLAT = ("zero_gradient", "vanishing_gradient", "shattered_gradient")
SHATTERED = ("shattered_gradient", "noisy_loss", "gradient_masking")
RANDOM = ("random_network",)
STATE = ("stateful_network",)
SHIFTED = ("low_clean_accuracy",)

_ALL = (
    Defence("rounding", "Xu et al., 2018", quantising.rounded_input, FLAT),
    Defence("integer input", "a cast to bytes", quantising.IntegerInput, NONE),
    Defence("thermometer code", "Buckman et al., 2018", quantising.thermometer, NONE, base=None),
    Defence("jpeg", "Dziugaite et al., 2016", denoising.JpegNetwork, NONE),
    Defence("median filter", "Xu et al., 2018", denoising.median_filtered, NONE),
    Defence("total variation", "Guo et al., 2018", denoising.total_variation_network, NONE),
    Defence("inner gradient purification", "Samangouei et al., 2018", denoising.PurifiedNetwork, NONE),
    Defence("diffusion purification", "Nie et al., 2022", denoising.DiffusionPurified, NONE + RANDOM, random=True),
    Defence(
        "random resize and pad", "Xie et al., 2018", randomised.resized_and_padded, RANDOM, random=True, clean=0.85
    ),
    Defence("noise", "additive noise", randomised.NoisyNetwork, RANDOM, random=True),
    Defence("dropout", "Feinman et al., 2017", randomised.DropoutNetwork, RANDOM, "digits-mlp", True, clean=0.85),
    Defence("random member", "random choice of a network", randomised.RandomMember, RANDOM, random=True),
    Defence("input counter", "a buffer that counts", stateful.InputCounter, STATE, random=True),
    Defence("moving mean", "statistics that move", stateful.MovingMean, (*STATE, "batch_dependence"), random=True),
    Defence("batch statistics", "train mode", stateful.BatchStatistics, ("batch_dependence", *STATE), alone=True),
    Defence("small logits", "logits / 1,000", scaled.small_logits, ("vanishing_gradient",)),
    Defence("large logits", "logits x 1,000", scaled.large_logits, FLAT),
    Defence("denormal logits", "float underflow", scaled.denormal_logits, FLAT),
    Defence("half precision", "float underflow", scaled.HalfPrecision, ("probabilities", *FLAT)),
    Defence("distillation", "Papernot et al., 2016", scaled.distilled, FLAT, base=None, clean=0.85),
    Defence("softmax", "probabilities", heads.softmax_output, ("probabilities",)),
    Defence("sharp softmax", "probabilities", heads.SharpSoftmax, ("probabilities", *FLAT)),
    Defence("log softmax", "log-probabilities", heads.log_softmax_output, ("log_probabilities",)),
    Defence("hard labels", "one-hot vectors", heads.HardLabels, ("hard_labels", *NONE)),
    Defence("vote", "an ensemble by vote", heads.VotingEnsemble, ("hard_labels", *NONE)),
    Defence("nearest neighbours", "Papernot and McDaniel, 2018", heads.NearestNeighbours, ("hard_labels", *NONE)),
    Defence("detector", "Hendrycks and Gimpel, 2017", heads.Detector, ("reject_class",)),
    Defence("k winners take all", "Xiao et al., 2020", activations.k_winners, SHATTERED, base=None, clean=0.85),
    Defence("sine", "x + .02 sin(2,000 x)", activations.SineShattered, SHATTERED),
    Defence("detached", "through numpy", backwards.Detached, NONE),
    Defence("partly detached", "a path with a derivative is left", backwards.PartlyDetached, SHATTERED),
    Defence("noisy backward", "a custom backward", backwards.NoisyBackward, SHATTERED),
    Defence("decoy gradient", "a custom backward", backwards.DecoyGradient, SHATTERED),
    Defence("wrong normalisation", "to [-1, 1]", misused.wrong_normalisation, SHIFTED, "digits-mlp", clean=None),
    Defence("bytes expected", "divided by 255 twice", misused.BytesExpected, SHIFTED, clean=None),
    # ---------------------------------------------------------------- in other styles, to test that nothing was fitted
    Defence("nested lists", "rounding in a list of lists", quantising.Chain, FLAT, late=True),
    Defence("learned table", "k-means codebook", quantising.learned_table, NONE, late=True),
    Defence("binarised", "Hubara et al., 2016", quantising.binarised, FLAT, base=None, late=True, clean=0.85),
    Defence("low pass by numpy", "a function", denoising.low_pass_function, NONE, "digits-mlp", late=True, clean=0.85),
    Defence("weights in a closure", "functional code", denoising.weights_in_a_closure, FLAT, late=True),
    Defence(
        "activation pruning", "Dhillon et al., 2018", randomised.activation_pruning, RANDOM, random=True, late=True
    ),
    Defence("random mask", "a random mixture", randomised.RandomMask, RANDOM, random=True, late=True),
    Defence(
        "pixel deflection", "Prakash et al., 2018", randomised.DeflectedNetwork, RANDOM + NONE, random=True, late=True
    ),
    Defence("barrage", "Raff et al., 2019", randomised.Barrage, RANDOM, random=True, late=True, clean=0.85),
    Defence("batch contrast", "over the batch", stateful.Whitened, ("batch_dependence",), alone=True, late=True),
    Defence("saturating", "Nayebi and Ganguli, 2017", scaled.saturating, FLAT, base=None, late=True, clean=0.85),
    Defence("output code", "Verma and Swami, 2019", scaled.output_code, FLAT, base=None, late=True, clean=0.85),
    Defence(
        "served probabilities",
        "rounded to six digits",
        scaled.softmax_callable,
        ("probabilities", *FLAT),
        "digits-mlp",
        late=True,
    ),
    Defence(
        "squeeze detector", "Xu et al., 2018", heads.SqueezeDetector, ("reject_class", *FLAT), late=True, clean=0.85
    ),
    Defence("sine in a hook", "a fine sine of features", activations.sine_in_a_hook, SHATTERED, late=True),
    Defence("rounded features", "Rakin et al., 2018", activations.RoundedFeatures, FLAT, late=True),
    Defence("reversed gradient", "a custom backward", backwards.ReversedInside, SHATTERED, "digits-mlp", late=True),
    Defence(
        "anti-adversary", "Alfarra et al., 2022", backwards.AntiAdversary, (*SHATTERED, "zero_gradient"), late=True
    ),
    Defence("transposed", "height and width exchanged", misused.Transposed, SHIFTED, late=True, clean=None),
)

DEFENCES: dict[str, Defence] = {defence.name: defence for defence in _ALL}
