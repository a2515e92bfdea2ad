"""The table of broken defences: where each is made, its paper or mistake, and the indicators that should report it."""

from __future__ import annotations

from dataclasses import replace

from defences import (
    activations,
    backwards,
    denoising,
    heads,
    misused,
    quantising,
    random_surrogates,
    randomised,
    scaled,
    stateful,
    surrogates,
)
from defences.defence import Defence
from defences.hand_attack import Attack

NONE = ("no_gradient",)
FLAT = ("zero_gradient", "vanishing_gradient", "shattered_gradient")
SHATTERED = ("shattered_gradient", "noisy_loss", "gradient_masking")
RANDOM = ("random_network",)
STATE = ("stateful_network",)
SHIFTED = ("low_clean_accuracy",)

CLIMB = 1500
ITSELF = Attack(surrogates.itself)
PLAIN = Attack(surrogates.undefended, transfer=True)
PLAIN_MLP = Attack(surrogates.undefended_mlp, transfer=True)
EOT = Attack(surrogates.itself, draws=6, steps=30, targets=2)

_FIRST = (
    Defence(
        "rounding", "Xu et al., 2018", quantising.rounded_input, Attack(surrogates.through_first, climb=CLIMB), FLAT
    ),
    Defence("integer input", "a cast to bytes", quantising.IntegerInput, Attack(surrogates.integer_input), NONE),
    Defence(
        "thermometer code",
        "Buckman et al., 2018",
        quantising.thermometer,
        Attack(surrogates.thermometer, climb=CLIMB),
        NONE,
        base=None,
    ),
    Defence("jpeg", "Dziugaite et al., 2016", denoising.JpegNetwork, Attack(surrogates.jpeg, climb=CLIMB), NONE),
    Defence(
        "median filter", "Xu et al., 2018", denoising.median_filtered, Attack(surrogates.median, climb=CLIMB), NONE
    ),
    Defence(
        "total variation",
        "Guo et al., 2018",
        denoising.total_variation_network,
        Attack(surrogates.total_variation, steps=40, restarts=1, targets=3),
        NONE,
    ),
    Defence(
        "inner gradient purification",
        "Samangouei et al., 2018",
        denoising.PurifiedNetwork,
        Attack(surrogates.purified),
        NONE,
    ),
    Defence(
        "diffusion purification",
        "Nie et al., 2022",
        denoising.DiffusionPurified,
        replace(EOT, surrogates=random_surrogates.diffusion, draws=4, steps=15, targets=0),
        NONE + RANDOM,
        random=True,
    ),
    Defence(
        "random resize and pad", "Xie et al., 2018", randomised.resized_and_padded, EOT, RANDOM, random=True, clean=0.85
    ),
    Defence("noise", "additive noise", randomised.NoisyNetwork, EOT, RANDOM, random=True),
    Defence("dropout", "Feinman et al., 2017", randomised.DropoutNetwork, EOT, RANDOM, "digits-mlp", True, clean=0.85),
    Defence(
        "random member",
        "random choice of a network",
        randomised.RandomMember,
        replace(EOT, surrogates=random_surrogates.each_member),
        RANDOM,
        random=True,
    ),
    Defence(
        "input counter",
        "a buffer that counts",
        stateful.InputCounter,
        replace(EOT, surrogates=random_surrogates.each_offset, draws=7),
        STATE,
        random=True,
    ),
    Defence(
        "moving mean",
        "statistics that move",
        stateful.MovingMean,
        replace(EOT, surrogates=random_surrogates.any_running_mean),
        (*STATE, "batch_dependence"),
        random=True,
    ),
    Defence(
        "batch statistics",
        "train mode",
        stateful.BatchStatistics,
        Attack(surrogates.instance_statistics),
        ("batch_dependence", *STATE),
        alone=True,
    ),
    Defence("small logits", "logits / 1,000", scaled.small_logits, PLAIN, ("vanishing_gradient",)),
    Defence("large logits", "logits x 1,000", scaled.large_logits, PLAIN, FLAT),
    Defence("denormal logits", "float underflow", scaled.denormal_logits, PLAIN, FLAT),
    Defence("half precision", "float underflow", scaled.HalfPrecision, PLAIN, ("probabilities", *FLAT)),
    Defence(
        "distillation",
        "Papernot et al., 2016",
        scaled.distilled,
        Attack(surrogates.in_double),
        FLAT,
        base=None,
        clean=0.85,
    ),
    Defence("softmax", "probabilities", heads.softmax_output, PLAIN, ("probabilities",)),
    Defence("sharp softmax", "probabilities", heads.SharpSoftmax, PLAIN, ("probabilities", *FLAT)),
    Defence("log softmax", "log-probabilities", heads.log_softmax_output, PLAIN, ("log_probabilities",)),
    Defence("hard labels", "one-hot vectors", heads.HardLabels, PLAIN, ("hard_labels", *NONE)),
    Defence(
        "vote", "an ensemble by vote", heads.VotingEnsemble, Attack(surrogates.vote, restarts=4), ("hard_labels", *NONE)
    ),
    Defence(
        "nearest neighbours",
        "Papernot and McDaniel, 2018",
        heads.NearestNeighbours,
        Attack(surrogates.nearest_neighbours, climb=CLIMB),
        ("hard_labels", *NONE),
    ),
    Defence(
        "detector",
        "Hendrycks and Gimpel, 2017",
        heads.Detector,
        Attack(surrogates.detector),
        ("reject_class",),
        reject=10,
    ),
    Defence(
        "k winners take all",
        "Xiao et al., 2020",
        activations.k_winners,
        Attack(surrogates.k_winners, draws=4, smoothing=0.02, restarts=4, climb=CLIMB),
        SHATTERED,
        base=None,
        clean=0.85,
    ),
    Defence(
        "sine",
        "x + .02 sin(2,000 x)",
        activations.SineShattered,
        Attack(surrogates.sine, widen=0.0168, decode=surrogates.reach_through_sine),
        SHATTERED,
    ),
    Defence("detached", "through numpy", backwards.Detached, PLAIN, NONE),
    Defence("partly detached", "a path with a derivative is left", backwards.PartlyDetached, PLAIN, SHATTERED),
    Defence("noisy backward", "a custom backward", backwards.NoisyBackward, PLAIN, SHATTERED),
    Defence("decoy gradient", "a custom backward", backwards.DecoyGradient, PLAIN, SHATTERED),
    Defence(
        "wrong normalisation", "to [-1, 1]", misused.wrong_normalisation, ITSELF, SHIFTED, "digits-mlp", clean=None
    ),
    Defence("bytes expected", "divided by 255 twice", misused.BytesExpected, ITSELF, SHIFTED, clean=None),
)

_LATE = (  # in other styles, to test that remedies and indicators were not fitted to the first
    Defence(
        "nested lists", "rounding in a list of lists", quantising.Chain, Attack(surrogates.nested, climb=CLIMB), FLAT
    ),
    Defence(
        "learned table",
        "k-means codebook",
        quantising.learned_table,
        Attack(surrogates.through_first, climb=CLIMB),
        NONE,
    ),
    Defence(
        "binarised",
        "Hubara et al., 2016",
        quantising.binarised,
        Attack(surrogates.binarised, climb=CLIMB),
        FLAT,
        base=None,
        clean=0.85,
    ),
    Defence(
        "low pass by numpy",
        "a function",
        denoising.low_pass_function,
        Attack(surrogates.low_pass),
        NONE,
        "digits-mlp",
        clean=0.85,
    ),
    Defence(
        "weights in a closure",
        "functional code",
        denoising.weights_in_a_closure,
        Attack(surrogates.closure, climb=CLIMB),
        FLAT,
    ),
    Defence(
        "activation pruning",
        "Dhillon et al., 2018",
        randomised.activation_pruning,
        replace(EOT, draws=4, steps=20, targets=0),
        RANDOM,
        random=True,
    ),
    Defence("random mask", "a random mixture", randomised.RandomMask, EOT, RANDOM, random=True),
    Defence(
        "pixel deflection",
        "Prakash et al., 2018",
        randomised.DeflectedNetwork,
        replace(EOT, surrogates=random_surrogates.deflection, steps=20, targets=0),
        RANDOM + NONE,
        random=True,
    ),
    Defence(
        "barrage",
        "Raff et al., 2019",
        randomised.Barrage,
        replace(EOT, surrogates=random_surrogates.barrage),
        RANDOM,
        random=True,
        clean=0.85,
    ),
    Defence(
        "batch contrast",
        "over the batch",
        stateful.Whitened,
        Attack(surrogates.own_contrast),
        ("batch_dependence",),
        alone=True,
    ),
    Defence(
        "saturating",
        "Nayebi and Ganguli, 2017",
        scaled.saturating,
        Attack(surrogates.saturating, climb=CLIMB),
        FLAT,
        base=None,
        clean=0.85,
    ),
    Defence(
        "output code",
        "Verma and Swami, 2019",
        scaled.output_code,
        Attack(surrogates.output_code, climb=CLIMB),
        FLAT,
        base=None,
        clean=0.85,
    ),
    Defence(
        "served probabilities",
        "rounded to six digits",
        scaled.softmax_callable,
        PLAIN_MLP,
        ("probabilities", *FLAT),
        "digits-mlp",
    ),
    Defence(
        "squeeze detector",
        "Xu et al., 2018",
        heads.SqueezeDetector,
        Attack(surrogates.squeeze_detector, steps=40, restarts=1, targets=4),
        ("reject_class", *FLAT),
        reject=10,
        clean=0.85,
    ),
    Defence(
        "sine in a hook",
        "a fine sine of features",
        activations.sine_in_a_hook,
        Attack(surrogates.undefended, climb=CLIMB),
        SHATTERED,
    ),
    Defence(
        "rounded features",
        "Rakin et al., 2018",
        activations.RoundedFeatures,
        Attack(surrogates.rounded_features, climb=CLIMB),
        FLAT,
    ),
    Defence("reversed gradient", "a custom backward", backwards.ReversedInside, PLAIN_MLP, SHATTERED, "digits-mlp"),
    Defence(
        "anti-adversary",
        "Alfarra et al., 2022",
        backwards.AntiAdversary,
        Attack(surrogates.anti_adversary),
        (*SHATTERED, "zero_gradient"),
    ),
    Defence("transposed", "height and width exchanged", misused.Transposed, ITSELF, SHIFTED, clean=None),
)

DEFENCES: dict[str, Defence] = {
    defence.name: defence for defence in (*_FIRST, *(replace(each, late=True) for each in _LATE))
}
