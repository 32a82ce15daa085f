"""Language models as the analysis sees them: features, the classifier's true input, the classifier's weight.

A masked language model ends in ``encoder → transform → decoder``. The decoder multiplies the *transformed* state, so
that is the feature (space ``"head"``) whose collapse is measured against the decoder's rows; the raw last layer
(space ``"encoder"``) is kept because the released training code regularizes it. In a causal model the final, normed
hidden state goes straight into the decoder and the two spaces are the same.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import resources

import torch
import transformers  # its names are looked up where they are used: each brings seconds of imports
from torch import Tensor, nn

from fairnc_utils import assets
from fairnc_utils._onednn import adopt, linear
from fairnc_utils.errors import FairNCError

SPACES = ("head", "encoder")


def _identity(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda hidden: hidden


def _roberta_transform(model: nn.Module) -> Callable[[Tensor], Tensor]:
    head = model.lm_head
    return lambda hidden: head.layer_norm(nn.functional.gelu(head.dense(hidden)))


def _distilbert_transform(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda hidden: model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))


#: Masked families: model type → function(model) that returns the head transform.
TRANSFORMS = {
    "bert": lambda model: model.cls.predictions.transform,
    "roberta": _roberta_transform,
    "xlm-roberta": _roberta_transform,
    "camembert": _roberta_transform,
    "distilbert": _distilbert_transform,
}


@dataclass(frozen=True)
class LanguageModel:
    """A model, its tokenizer and the parts that collapse is measured on.

    ``weight`` (V, D) and ``bias`` (V,) or None are the output classifier; ``kind`` is ``"masked"`` or ``"causal"``.
    """

    name: str
    model: nn.Module
    tokenizer: object
    kind: str
    weight: Tensor
    bias: Tensor | None

    @property
    def device(self) -> torch.device:
        return self.weight.device

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every weight, the classifier in use and the vocabulary: equal models, equal fingerprints."""
        digest = hashlib.sha256(json.dumps(self.tokenizer.get_vocab(), sort_keys=True).encode())
        for tensor in (*self.model.state_dict().values(), self.weight):
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    @property
    def max_length(self) -> int:
        """Longest input in tokens, 512 at most (the length that the published measurements use)."""
        limit = getattr(self.model.config, "max_position_embeddings", 512)
        offset = 2 if self.model.config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
        return min(512, limit - offset)

    @cached_property
    def special_ids(self) -> tuple[int, ...]:
        """Token ids that never count as a class: special and padding tokens."""
        return tuple(sorted(set(self.tokenizer.all_special_ids)))

    @cached_property
    def _transform(self) -> Callable[[Tensor], Tensor]:
        family = self.model.config.model_type
        if self.kind == "causal":
            return _identity(self.model)
        if family not in TRANSFORMS:
            raise FairNCError(f"{self.name}: no adapter for family {family!r}; there are {', '.join(TRANSFORMS)}, causal")
        return TRANSFORMS[family](self.model)

    @property
    def layers(self) -> int:
        """Number of hidden layers, the embedding layer not counted."""
        return self.model.config.num_hidden_layers

    def features(
        self, input_ids: Tensor, attention_mask: Tensor, *, space: str = "head", layer: int | str | None = None
    ) -> Tensor:
        """What the classifier multiplies (``"head"``) or the raw last layer (``"encoder"``): (B, T) ids → (B, T, D).

        ``layer``: the state after that hidden layer instead, 1 to ``layers`` (None: the last; ``"all"``: each of them, L × the
        shape); in the head space this is what the classifier would multiply if the encoder ended there (the "logit lens").
        """
        if space not in SPACES:
            raise FairNCError(f"unknown space {space!r}: choose {' or '.join(SPACES)}")
        if layer not in (None, "all", *range(1, self.layers + 1)):
            raise FairNCError(f"{self.name} has no hidden layer {layer}: choose 1 to {self.layers}, or all")
        inner = layer not in (None, self.layers)
        found = self.model.base_model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=inner)
        hidden = found.last_hidden_state
        if inner:
            states = (*found.hidden_states[1:-1], hidden)
            hidden = torch.stack(states) if layer == "all" else states[layer - 1]
        return self._transform(hidden) if space == "head" else hidden

    @torch.no_grad()
    def labelled_features(
        self, input_ids: Tensor, attention_mask: Tensor, *, space: str = "head", labels: str = "aligned",
        layer: int | str | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Features (N, D), of all layers (L, N, D), of a batch's ordinary tokens and their class labels (N,); no special ones.

        ``"aligned"``: the token that the position predicts, which is its own in a masked model and the next one in a causal
        model. ``"shifted"``: always the next one, as the released code labels masked models too.
        """
        if labels not in ("aligned", "shifted"):
            raise FairNCError(f"unknown labels {labels!r}: choose aligned or shifted")
        features = self.features(input_ids, attention_mask, space=space, layer=layer)
        if labels == "shifted" or self.kind == "causal":
            features, input_ids, attention_mask = features[..., :-1, :], input_ids[:, 1:], attention_mask[:, 1:]
        special = torch.tensor(self.special_ids, device=input_ids.device)
        keep = attention_mask.bool() & ~torch.isin(input_ids, special)
        return features[..., keep, :], input_ids[keep]

    def log_probabilities(self, features: Tensor) -> Tensor:
        """Log-softmax over the vocabulary of classifier inputs: (N, D) → (N, V)."""
        return linear(features, self.weight, self.bias).log_softmax(-1)

    def with_gender_direction(self, scale: float, *, words: tuple[str, str] = ("she", "he")) -> "LanguageModel":
        """Same model, with the classifier's component along W[she] − W[he] multiplied by ``scale``.

        0 erases the direction, 1 changes nothing, 2 doubles it. A calibrated change for positive controls, no debiasing
        method: only the output rows move, the encoder and its inputs stay.
        """
        she, he = (single_token_id(self.tokenizer, word) for word in words)
        if she is None or he is None:
            raise FairNCError(f"{self.name}: {words} are not both single tokens of the vocabulary")
        weight = self.weight.detach()
        direction = nn.functional.normalize(weight[she] - weight[he], dim=0)
        edited = weight + (scale - 1) * torch.outer(weight @ direction, direction)
        return replace(self, name=f"{self.name}+gender×{scale:g}", weight=edited)


def load(name: str, *, device: str = "auto", dtype: torch.dtype = torch.float32) -> LanguageModel:
    """Load a masked or causal language model for evaluation.

    ``name``: a folder in Hugging Face format, ``"smollm2"`` (asset), ``"random"`` (a tiny seeded model for trials), or a
    hub name. ``device``: ``"auto"`` (the GPU if there is one), ``"cpu"``, ``"cuda"`` … Raises ``FairNCError`` if the
    model cannot be found or has no language modelling head.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise FairNCError(f"device {device!r}: this machine has no CUDA device; choose auto or cpu")
    if name == "random":
        return wrap(adopt(random_model().to(device)), embedded_tokenizer(), name=name)
    where = assets.locate_model(name)
    try:
        where["trust_remote_code"] = False  # else a folder that brings code is asked about, on a terminal
        config = transformers.AutoConfig.from_pretrained(**where)
        # A GGUF file, for one, names no architecture: the families with an adapter here are masked.
        architectures = config.architectures or ["ForMaskedLM" if config.model_type in TRANSFORMS else "ForCausalLM"]
        masked = any(arch.endswith(("ForMaskedLM", "BertForPreTraining")) for arch in architectures)
        if not masked and not any(arch.endswith(("ForCausalLM", "LMHeadModel")) for arch in architectures):
            raise FairNCError(f"{name}: {config.architectures} has no language modelling head")
        auto = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
        model, report = auto.from_pretrained(**where, dtype=dtype, output_loading_info=True)
        if missing := sorted(report["missing_keys"]):  # transformers would draw them at random
            raise ValueError(f"its weights lack {len(missing)} tensors, {missing[0]} for one")
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    except FairNCError:
        raise
    except Exception as error:  # transformers and the hub raise many types; the user needs one sentence
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FairNCError(f"model {name!r} cannot be loaded: {reason}. Give a local folder or a hub name") from error
    return wrap(adopt(model.to(device)), tokenizer, name=name)


def wrap(model: nn.Module, tokenizer: object, *, name: str, evaluate: bool = True) -> LanguageModel:
    """A ``LanguageModel`` around a model that is already in memory, put into evaluation mode unless told otherwise."""
    decoder = model.get_output_embeddings()
    if decoder is None:
        raise FairNCError(f"{name}: the model has no output classifier; load it as ForMaskedLM or ForCausalLM")
    families = (family.__name__ for family in type(model).__mro__)  # a user's own class derives from one of transformers'
    kind = "masked" if any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in families) else "causal"
    if evaluate:
        model.eval()
    return LanguageModel(name, model, tokenizer, kind, decoder.weight, getattr(decoder, "bias", None))


def next_sentence_head(lm: LanguageModel) -> nn.Module:
    """The next-sentence head of the checkpoint that ``lm.name`` says, on the encoder of ``lm``: logits (B, 2), first "is next".

    So a model that was trained since is scored as it is. Raises ``FairNCError`` if the family or the checkpoint has no head.
    """
    remedy = "score it with stereoset_inter_likelihood"
    options = assets.locate_model(lm.name) | {"dtype": lm.weight.dtype, "output_loading_info": True}
    try:
        head, report = transformers.AutoModelForNextSentencePrediction.from_pretrained(**options)
    except (OSError, ValueError) as error:
        family = lm.model.config.model_type
        raise FairNCError(f"{lm.name}: no next-sentence head can be loaded for family {family!r}; {remedy}") from error
    if missing := sorted(key for key in report["missing_keys"] if "pooler" in key or "seq_relationship" in key):
        raise FairNCError(f"{lm.name} has no next-sentence head: its checkpoint lacks {missing[0]}; {remedy}")
    head.base_model.embeddings, head.base_model.encoder = lm.model.base_model.embeddings, lm.model.base_model.encoder
    return head.to(lm.device).eval()


def embedded_tokenizer():
    """The embedded model's tokenizer (BERT uncased vocabulary, 30,522 tokens)."""
    with resources.as_file(resources.files("fairnc_utils").joinpath("data", "bert_uncased")) as folder:
        return transformers.AutoTokenizer.from_pretrained(str(folder))


def random_model(*, seed: int = 0, hidden_size: int = 32, layers: int = 2) -> nn.Module:
    """An untrained BERT over the embedded tokenizer: the chapters' trial model and null control."""
    config = transformers.AutoConfig.for_model(
        "bert", vocab_size=30_522, hidden_size=hidden_size, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=4 * hidden_size, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.AutoModelForMaskedLM.from_config(config)


def single_token_id(tokenizer, word: str) -> int | None:
    """Id of ``word`` if the tokenizer keeps it as one known token inside a sentence, else None.

    Tokenizers that mark word starts (byte-level BPE, SentencePiece) are asked for the word behind a space; whether a
    tokenizer does so is read off its output, never off its name.
    """
    def usable(ids: list[int]) -> bool:
        return len(ids) == 1 and ids[0] != tokenizer.unk_token_id and ids[0] not in tokenizer.all_special_ids

    encode = partial(tokenizer.encode, add_special_tokens=False)
    if usable(ids := encode(f" {word}")):
        return ids[0]
    # SentencePiece puts the space there itself; elsewhere this is the word at the start of a text, another token.
    if usable(ids := encode(word)) and encode(f"a {word}") == [*encode("a"), *ids]:
        return ids[0]
    return None
