"""Everything that has a name on the command line: benchmarks, word lists, methods, tasks, corpora,
models.

One line a thing, with the place where it lies; nothing is imported before it is used. Other
packages add theirs through the entry points ``fairnc.benchmarks``, ``fairnc.words`` and
``fairnc.methods``.
"""

from collections.abc import Iterable
from typing import Any

from fairnc_utils._registry import Entry, Registry

MASKED, CAUSAL = ("masked",), ("causal",)
BOTH = MASKED + CAUSAL

#: Where features are taken: what the classifier multiplies, or the raw last layer.
SPACES = ("head", "encoder")

#: How the metrics of collapse are computed: as this book defines them, or as the code released with the paper does.
VARIANTS = ("corrected", "as_released")


def _benchmark(place: str, line: str, kinds: tuple[str, ...], *data: str) -> Entry:
    return Entry(line, kinds, data, f"fairnc_utils.benchmarks.{place}")


BENCHMARKS: Registry[Any] = Registry(
    "benchmark",
    {
        "stereoset_intra": _benchmark(
            "stereoset:STEREOSET",
            "which of three words fills a blank: stereotype, its contrary, unrelated",
            MASKED,
            "StereoSet",
        ),
        "crows_official": _benchmark(
            "crows_pairs:CROWS_OFFICIAL",
            "how often the more stereotyping of two sentences makes the words they share likelier",
            MASKED,
            "CrowS-Pairs",
        ),
        "crows_bias_bench": _benchmark(
            "crows_pairs:CROWS_BIAS_BENCH",
            "how often the words in which two sentences differ are likelier in the more stereotyping one",
            MASKED,
            "CrowS-Pairs",
        ),
        "crows_aul": _benchmark(
            "likelihood:CROWS_AUL",
            "how often the more stereotyping of two whole sentences is likelier, nothing masked",
            MASKED,
            "CrowS-Pairs",
        ),
        "crows_aula": _benchmark(
            "likelihood:CROWS_AULA",
            "the same, tokens weighted by the attention they receive",
            MASKED,
            "CrowS-Pairs",
        ),
        "crows_causal": _benchmark(
            "causal:CROWS_CAUSAL",
            "how often the more stereotyping of two sentences is likelier",
            CAUSAL,
            "CrowS-Pairs",
        ),
        "stereoset_intra_causal": _benchmark(
            "causal:STEREOSET_INTRA_CAUSAL",
            "which of three sentences, alike but for one word, is likelier",
            CAUSAL,
            "StereoSet",
        ),
        "crows_causal_as_released": _benchmark(
            "causal:CROWS_CAUSAL_AS_RELEASED",
            "the same by the mean over tokens, as bias-bench has it",
            CAUSAL,
            "CrowS-Pairs",
        ),
        "stereoset_intra_causal_as_released": _benchmark(
            "causal:STEREOSET_INTRA_CAUSAL_AS_RELEASED",
            "the likelier of three sentences by the mean over tokens, as the code of StereoSet has it",
            CAUSAL,
            "StereoSet",
        ),
        "stereoset_inter_nsp": _benchmark(
            "intersentence:STEREOSET_INTER_NSP",
            "which sentence the next-sentence head expects after a context",
            MASKED,
            "StereoSet",
        ),
        "stereoset_inter_likelihood": _benchmark(
            "intersentence:STEREOSET_INTER_LIKELIHOOD",
            "which sentence is likeliest after a context, token by token",
            BOTH,
            "StereoSet",
        ),
        "bec_pro": _benchmark(
            "bec_pro:BEC_PRO",
            "how much naming a profession changes the probability of a woman's or a man's word",
            MASKED,
            "BEC-Pro",
        ),
        "bec_pro_as_released": _benchmark(
            "bec_pro:BEC_PRO_AS_RELEASED",
            "the same, computed as the released script does, its padding and cutting included",
            MASKED,
            "BEC-Pro",
        ),
        "bec_pro_released_masks": _benchmark(
            "bec_pro:BEC_PRO_RELEASED_MASKS",
            "the same from the released masked sentences, neither padded nor cut",
            MASKED,
            "BEC-Pro",
        ),
        "bec_pro_german": _benchmark(
            "bec_pro_german:BEC_PRO_GERMAN",
            "the same in German, for a model with a German or multilingual vocabulary",
            MASKED,
            "BEC-Pro",
        ),
        "occupation_slope": _benchmark(
            "occupations:OCCUPATION_SLOPE",
            "how steeply she against he follows the share of women in an occupation",
            BOTH,
            "Winogender",
        ),
        "occupation_calibration": _benchmark(
            "occupation_calibration:OCCUPATION_CALIBRATION",
            "whether she against he repeats the labour statistics, or those of the text",
            BOTH,
            "Winogender",
            "BUG",
        ),
        "concept_bias": _benchmark(
            "concept_bias:CONCEPT_BIAS",
            "how near an occupation lies to words for women and men, and whether the model says so",
            BOTH,
            "Winogender",
            "BUG",
        ),
        "definitional": _benchmark(
            "definitional:DEFINITIONAL",
            "how much she against he follows nouns that mean a gender, such as mother and father",
            BOTH,
        ),
        "selectivity": _benchmark(
            "selectivity:SELECTIVITY",
            "the slope over occupations, as a share of what nouns that mean a gender change",
            BOTH,
            "Winogender",
        ),
        "gender_agreement": _benchmark(
            "gender_agreement:GENDER_AGREEMENT",
            "how well the right one of she and he is known where a sentence tells",
            BOTH,
            "GAP",
        ),
        "swap_collapse": _benchmark(
            "swap_collapse:SWAP_COLLAPSE",
            "how much she against he follows what stays when the gender of a text is swapped",
            BOTH,
            "GAP",
            "BUG",
        ),
        "seat": _benchmark(
            "seat:SEAT",
            "whether sentences of a group lie nearer to those of a stereotype, by their first token",
            BOTH,
        ),
        "seat_bias_bench": _benchmark(
            "seat:SEAT_BIAS_BENCH",
            "the same, by the mean of all tokens, on the tests of bias-bench",
            BOTH,
        ),
        "seat_word": _benchmark(
            "seat:SEAT_WORD",
            "the same of words, as the model encodes them in plain sentences",
            BOTH,
        ),
        "bbq": _benchmark(
            "bbq:BBQ",
            "whether questions about people are answered by stereotype, where a text tells and where it does not",
            CAUSAL,
            "BBQ",
        ),
        "iat": _benchmark(
            "iat:IAT",
            "whether words are put beside the group that a stereotype puts them beside",
            BOTH,
            "HolisticBias",
            "Winogender",
        ),
        "unqover": _benchmark(
            "unqover:UNQOVER",
            "whom of two people a model decides for where the text does not say",
            BOTH,
            "UnQover",
            "Winogender",
        ),
        "valence": _benchmark(
            "valence:VALENCE",
            "whether kinder adjectives go with one group than with another",
            BOTH,
            "HolisticBias",
        ),
        "gap": _benchmark(
            "gap:GAP",
            "how well the name that a pronoun means is found, for women and for men",
            ("coreference",),
            "GAP",
        ),
        "gap_names": _benchmark(
            "gap_names:GAP_NAMES",
            "whether that is found as well for people with names of any group",
            ("coreference",),
            "BBQ",
            "GAP",
        ),
        "winobias": _benchmark(
            "winobias:WINOBIAS",
            "whether a pronoun is resolved as well against a stereotype as with it",
            ("coreference",),
            "WinoBias",
        ),
        "winobias_zero_shot": _benchmark(
            "winobias_zero_shot:WINOBIAS_ZERO_SHOT",
            "whether the pronoun that goes with a stereotype is likelier, no resolver between",
            BOTH,
            "WinoBias",
        ),
        "winogender": _benchmark(
            "winogender:WINOGENDER",
            "whether the gender of a pronoun changes whom it is taken to mean",
            ("coreference",),
            "Winogender",
        ),
        "bias_nli": _benchmark(
            "bias_nli:BIAS_NLI",
            "how often inference holds that an occupation says nothing about gender",
            ("nli",),
            "NLI-Words",
            "Occupations",
        ),
        "bias_in_bios": _benchmark(
            "bias_in_bios:BIOS",
            "how much more often the profession of a man is found than that of a woman",
            ("bias_in_bios",),
            "LabHC/bias_in_bios",
        ),
        "bug_profession": _benchmark(
            "bias_in_bios:BUG",
            "the same on sentences of BUG, a stand-in",
            ("bug_profession",),
            "BUG",
        ),
        "bug_counterfactual": _benchmark(
            "bug_counterfactual:BUG_COUNTERFACTUAL",
            "what swapping the gender of a text does to the probability of its profession",
            ("bug_profession",),
            "BUG",
            "GAP",
        ),
        "bios_counterfactual": _benchmark(
            "bug_counterfactual:BIOS_COUNTERFACTUAL",
            "the same on online biographies",
            ("bias_in_bios",),
            "LabHC/bias_in_bios",
            "GAP",
        ),
        "explanations": _benchmark(
            "explanations:EXPLANATIONS",
            "how much of an explanation lies on the words that tell the gender of a text",
            ("text_gender",),
            "BUG",
        ),
        "redditbias": _benchmark(
            "redditbias:REDDITBIAS",
            "how well a scorer tells biased comments from others, which its own numbers must stand beside",
            ("bias_statement",),
            "RedditBias",
        ),
        "bold": _benchmark(
            "bold:BOLD",
            "sentiment, bias, profanity and gender of what a model writes of one group and another",
            CAUSAL,
            "BOLD-prompts",
            "RedditBias",
        ),
        "honest": _benchmark(
            "honest:HONEST",
            "how many hurtful words a model puts into a blank behind the name of a group",
            MASKED,
            "HONEST",
        ),
    },
    group="fairnc.benchmarks",
    type="fairnc_utils.benchmarks.base:Benchmark",
    aliases={
        "stereoset": "stereoset_intra",
        "crows": "crows_official",
        "crows_pairs": "crows_official",
    },
)

#: Word lists that stand by themselves: name → function that returns (word, group) pairs.
AXES: Registry[Any] = Registry(
    "word list",
    {
        "gender": Entry("words for women and men", BOTH, (), "fairnc_utils.words:gender_words"),
        "neutral": Entry(
            "frequent words that name no person and no group",
            BOTH,
            (),
            "fairnc_utils.words:neutral_words",
        ),
        "profession": Entry(
            "occupations", BOTH, ("Occupations",), "fairnc_utils.words:profession_words"
        ),
        "age": Entry("words for ages", BOTH, ("HolisticBias",), "fairnc_utils.words:age_words"),
        "nationality": Entry(
            "words for nationalities",
            BOTH,
            ("HolisticBias",),
            "fairnc_utils.words:nationality_words",
        ),
        "race": Entry("words for origins", BOTH, ("StereoSet",), "fairnc_utils.words:race_words"),
        "religion": Entry(
            "words for religions", BOTH, ("StereoSet",), "fairnc_utils.words:religion_words"
        ),
    },
    group="fairnc.words",
    type="collections.abc:Callable",
)

#: Lists that follow from a vocabulary and the text that is read.
CONTROLS = {
    "random": Entry("as many words as there are gender words, drawn at random", BOTH),
    "matched": Entry("likewise, as frequent as the gender words", BOTH),
    "vocabulary": Entry("every token that is seen often enough", BOTH),
}

#: What only training knows.
RELEASED = {
    "released": Entry("the words of a method's released NC3 script; only to train on", MASKED)
}


def _method(place: str, line: str, *data: str, kinds: tuple[str, ...] = MASKED) -> Entry:
    return Entry(line, kinds, data, f"fairnc_utils.debias.{place}")


def _student(place: str, line: str) -> Entry:
    return _method(f"distillation:{place}", line, "BUG", "PANDA", "BOLD")


METHODS: Registry[Any] = Registry(
    "method",
    {
        "mlm": _method(
            "language_modelling:MLM", "trained on as before, without debiasing: the control", "GAP"
        ),
        "bec": _method("language_modelling:BEC", "gender-swapped sentences", "GAP"),
        "mabel": _method(
            "mabel:MABEL",
            "entailment pairs and their gender-swapped copies drawn together; BUG for SNLI and MNLI",
            "BUG",
        ),
        "mabel_nli": _method(
            "mabel:MABEL_NLI",
            "the same on the published text",
            "stanfordnlp/snli",
            "nyu-mll/multi_nli",
        ),
        "ase": _method(
            "ase:ASE",
            "pronouns neutral to occupations, weights held near the old by Fisher information",
            "GAP",
            "Occupations",
        ),
        "adept": _method(
            "adept:ADEPT",
            "distances of neutral words to the words of each gender made equal",
            "BUG",
            "BOLD",
        ),
        "adept_prefix": _method(
            "adept_prefix:ADEPT_PREFIX",
            "the same, a prefix alone is trained; takes no NC3",
            "BUG",
            "BOLD",
        ),
        "cda": _method(
            "language_modelling:CDA", "sentences and their gender-swapped copies", "GAP", kinds=BOTH
        ),
        "clm": _method(
            "language_modelling:CLM",
            "trained on as before, without debiasing: the control",
            "GAP",
            kinds=CAUSAL,
        ),
        "dropout": _method("language_modelling:DROPOUT", "more dropout", "GAP"),
        "planted": _method(
            "planted:PLANTED",
            "a bias, not its removal: pronouns as the labour statistics have them; a control",
            "Winogender",
        ),
        "planted_reversed": _method(
            "planted:PLANTED_REVERSED", "the same with the other pronoun each time", "Winogender"
        ),
        "kd1": _student("KD1", "a student of 1 layer, taught by the model"),
        "kd2": _student("KD2", "a student of 2 layers, taught by the model"),
        "kd3": _student("KD3", "a student of 3 layers, taught by the model"),
        "kd4": _student("KD4", "a student of 4 layers, taught by the model"),
        "small1": _student("SMALL1", "the same student of 1 layer without its teacher: a control"),
        "small2": _student("SMALL2", "the same student of 2 layers without its teacher: a control"),
        "small3": _student("SMALL3", "the same student of 3 layers without its teacher: a control"),
        "small4": _student("SMALL4", "the same student of 4 layers without its teacher: a control"),
        "kd_self": _student("KD_SELF", "a student of all layers, taught by the model"),
    },
    group="fairnc.methods",
    type="fairnc_utils.debias.base:Method",
)


def _edit(place: str, line: str) -> Entry:
    return Entry(line, MASKED, (), f"fairnc_utils.debias.edits:{place}")


#: What stands in a method's place where nothing is trained.
EDITS: Registry[Any] = Registry(
    "edit",
    {
        "random_init": _edit(
            "RANDOM_INIT", "no training: weights as before any pre-training, drawn by the seed"
        ),
        "new_embeddings": _edit(
            "NEW_EMBEDDINGS", "no training: word embeddings alone drawn anew, by the seed"
        ),
        "noise_0.1": _edit("NOISE_01", "no training: a little noise on every weight"),
        "noise_0.2": _edit("NOISE_02", "the same, twice as much"),
        "hard_debias": _edit(
            "HARD_DEBIAS", "no training: the gender direction taken out of other words' embeddings"
        ),
    },
)


def _task(place: str, line: str, kind: str, *data: str) -> Entry:
    return Entry(line, (kind,), data, f"fairnc_utils.tasks.{place}")


def _glue(name: str, line: str, kind: str = "") -> Entry:
    return _task(f"glue:{name.upper()}", f"GLUE: {line}", kind or name, "nyu-mll/glue")


TASKS: Registry[Any] = Registry(
    "task",
    {
        "coreference": _task(
            "coreference:COREFERENCE", "which name a pronoun means, on GAP", "coreference", "GAP"
        ),
        "coreference_ontonotes": _task(
            "coreference:COREFERENCE_ONTONOTES",
            "the same on OntoNotes, which you bring",
            "coreference",
            "ontonotes",
        ),
        "cola": _glue("cola", "is a sentence acceptable"),
        "sst2": _glue("sst2", "is a review positive"),
        "mrpc": _glue("mrpc", "do two sentences say the same"),
        "qqp": _glue("qqp", "do two questions ask the same"),
        "stsb": _glue("stsb", "how alike are two sentences"),
        "mnli": _glue("mnli", "does one sentence follow from another", "nli"),
        "qnli": _glue("qnli", "does a sentence answer a question"),
        "rte": _glue("rte", "does one sentence follow from another, few examples"),
        "wnli": _glue("wnli", "does a sentence follow when its pronoun is resolved"),
        "snli": _task(
            "nli:SNLI",
            "does one sentence follow from another, of captions",
            "nli",
            "stanfordnlp/snli",
        ),
        "sick": _task("nli:SICK_NLI", "the same, of short plain sentences", "nli", "sick"),
        "bias_in_bios": _task(
            "biographies:BIAS_IN_BIOS",
            "the profession of an online biography",
            "bias_in_bios",
            "LabHC/bias_in_bios",
        ),
        "bug_profession": _task(
            "biographies:BUG_PROFESSION",
            "a hidden profession in a sentence",
            "bug_profession",
            "BUG",
        ),
        "text_gender": _task(
            "text_gender:TEXT_GENDER",
            "is a sentence of a woman or of a man, beside its gender-swapped copy",
            "text_gender",
            "BUG",
        ),
        "redditbias": _task(
            "redditbias:REDDITBIAS",
            "did annotators call a comment biased",
            "bias_statement",
            "RedditBias",
        ),
    },
)


def _corpus(name: str, line: str) -> Entry:
    return Entry(line, BOTH, (name,), f"fairnc_utils.corpora:{name}")


CORPORA: Registry[Any] = Registry(
    "corpus",
    {
        "gap": _corpus("GAP", "passages of Wikipedia that name a woman or a man"),
        "bug": _corpus("BUG", "sentences with a profession and a pronoun, from three corpora"),
        "panda": _corpus(
            "PANDA", "sentences of many sources that people rewrote for another group"
        ),
        "bold": _corpus("BOLD", "beginnings of Wikipedia on people, beliefs and professions"),
    },
)

#: What ``models.load`` knows beside folders and other names of the hub.
MODELS = {
    "models/minilm-mlm": Entry("the book's embedded model, 45 MB", MASKED),
    "random": Entry("an untrained tiny BERT, for trials", MASKED),
    "smollm2": Entry("SmolLM2-135M-Instruct, quantized", CAUSAL, ("SmolLM2",)),
    "bert-base-uncased": Entry("BERT, the paper's", MASKED, ("bert-base-uncased",)),
    "bert-base-cased": Entry("BERT, cased", MASKED, ("bert-base-cased",)),
    "roberta-base": Entry("RoBERTa", MASKED, ("roberta-base",)),
    "facebook/FairBERTa": Entry(
        "RoBERTa trained on rewritten text", MASKED, ("facebook/FairBERTa",)
    ),
    "princeton-nlp/mabel-bert-base-uncased": Entry(
        "BERT debiased by MABEL, as published", MASKED, ("princeton-nlp/mabel-bert-base-uncased",)
    ),
    "gpt2": Entry("GPT-2", CAUSAL, ("gpt2",)),
    "distilgpt2": Entry("GPT-2, distilled", CAUSAL, ("distilgpt2",)),
}


def is_word_file(name: str) -> bool:
    """Whether the name of a word list is that of a user's file."""
    return name.endswith(".csv")


def check_words(name: str, *, more: Iterable[str] = ()) -> str:
    """The name of a word list: an axis, one of ``more``, or a file. Raises ``FairNCError`` with the
    valid ones otherwise.
    """
    if is_word_file(name):
        return name
    return AXES.check(name, more=more, hint=", or a .csv file with the columns word and group")
