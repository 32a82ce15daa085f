"""Language models as the analysis sees them: features, the classifier's true input, the
classifier's weight.

A language model is ``body → head → decoder``. The decoder (the output embeddings) multiplies what
the head has made of the last hidden state, so that is the feature (space ``"head"``) whose collapse
is measured against the decoder's rows; the raw last layer (space ``"encoder"``) is kept because the
released training code regularizes it. In most causal models the final, normed hidden state goes
straight into the decoder and the two spaces are the same. No family is known by name here: the
feature is read where the model's own forward pass hands it to the decoder.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers  # its names are looked up where they are used: each brings seconds of imports
from torch import Tensor, nn

from fairnc_utils import assets, processes
from fairnc_utils._onednn import linear, use_onednn
from fairnc_utils.catalog import SPACES
from fairnc_utils.errors import FairNCError, FairNCWarning, brief


class _Reached(Exception):
    """The forward pass has come to the decoder."""

    def __init__(self, features: Tensor):
        self.features = features


class _Answer(nn.Module):
    """Stands in for a model's body and answers every call with the same hidden state."""

    def __init__(self, hidden: Tensor):
        super().__init__()
        self.hidden = hidden
        self.asked = False

    def forward(self, *arguments, **named) -> "transformers.modeling_outputs.BaseModelOutput":
        self.asked = True
        return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=self.hidden)

    def __getattr__(self, name: str):
        """A part of the body, which some families (OPT) call in its stead, answers too."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return self


def _body_name(model: nn.Module) -> str:
    # Gemma 3 of transformers 4 gives the prefix of the model with images, which has no such part
    # here.
    return model.base_model_prefix if hasattr(model, model.base_model_prefix) else "model"


def body(model: nn.Module) -> nn.Module:
    """The model without its head and decoder."""
    return getattr(model, _body_name(model))


@contextmanager
def _answering(model: nn.Module, hidden: Tensor) -> Iterator[_Answer]:
    """The model with its body replaced; hooks on the body do not notice."""
    name, whole, answer = _body_name(model), body(model), _Answer(hidden)
    setattr(model, name, answer)
    try:
        yield answer
    finally:
        setattr(model, name, whole)


def decoder_input(model: nn.Module, **inputs: Tensor) -> Tensor:
    """What the decoder multiplies in the model's forward pass, which stops there: the vocabulary is
    never multiplied.

    Raises ``FairNCError`` if the model's forward pass does not call ``get_output_embeddings()``.
    """
    return _run_to(model.get_output_embeddings(), model, inputs)


def _run_to(decoder: nn.Module, model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    def stop(module: nn.Module, arguments: tuple) -> None:
        raise _Reached(arguments[0])

    hook = decoder.register_forward_pre_hook(stop)
    try:
        # not called as a module: hooks on the whole model would miss the end of the pass
        model.forward(**inputs)
    except _Reached as reached:
        return reached.features
    finally:
        hook.remove()
    raise FairNCError(
        f"{type(model).__name__} does not call its output embeddings: its true input cannot be read"
    )


def head(model: nn.Module, hidden: Tensor) -> Tensor:
    """What the decoder would multiply if the model's body ended in ``hidden``: (…, T, D) → (…, T, D
    of the decoder).

    Raises ``FairNCError`` if the model's forward pass does not call its ``base_model``.
    """
    decoder = model.get_output_embeddings()  # some models find it through their body
    with _answering(model, hidden) as answer:
        features = _run_to(decoder, model, {"inputs_embeds": hidden})
    if not answer.asked:
        raise FairNCError(
            f"{type(model).__name__} does not call its base_model: only its last layer can be read"
        )
    return features


def unwrapped(model: nn.Module) -> nn.Module:
    """The transformers model inside PEFT, ``torch.compile`` and data-parallel wrappers (adapters
    stay in its layers).
    """
    while True:
        # PEFT; first, because it passes other names on to what it wraps
        if hasattr(model, "get_base_model"):
            model = model.get_base_model()
        elif isinstance(
            inner := getattr(model, "module", getattr(model, "_orig_mod", None)), nn.Module
        ):
            model = inner
        else:
            return model


@dataclass(frozen=True)
class LanguageModel:
    """A model, its tokenizer and the parts that collapse is measured on.

    ``weight`` (V, D) and ``bias`` (V,) or None are the output classifier; ``kind`` is ``"masked"``
    or ``"causal"``.
    """

    name: str
    model: nn.Module
    tokenizer: "transformers.PreTrainedTokenizerBase"
    kind: str
    weight: Tensor
    bias: Tensor | None

    @property
    def device(self) -> torch.device:
        return self.weight.device

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every weight, the classifier in use and the vocabulary: equal models, equal
        fingerprints.
        """
        digest = hashlib.sha256(json.dumps(self.tokenizer.get_vocab(), sort_keys=True).encode())
        for tensor in (*_tensors(self.model), self.weight):
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    @property
    def max_length(self) -> int:
        """Longest input in tokens, 512 at most (the length that the published measurements use)."""
        limit = getattr(self.model.config, "max_position_embeddings", None) or 512
        return min(512, limit - _first_position(self.model))

    @cached_property
    def special_ids(self) -> tuple[int, ...]:
        """Token ids that never count as a class: special and padding tokens."""
        return tuple(sorted(set(self.tokenizer.all_special_ids)))

    @property
    def start_id(self) -> int:
        """Id of the token that stands before a text: the start token, else the end token.

        Raises ``FairNCError`` without either.
        """
        for token_id in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token_id is not None:
                return token_id
        raise FairNCError(
            f"{self.name}: its tokenizer has neither a start nor an end token to put before a sentence"
        )

    @property
    def layers(self) -> int:
        """Number of hidden layers, the embedding layer not counted."""
        return self.model.config.num_hidden_layers

    def features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        space: str = "head",
        layer: int | str | None = None,
    ) -> Tensor:
        """What the classifier multiplies (``"head"``) or the raw last layer (``"encoder"``): (B, T)
        ids → (B, T, D).

        ``layer``: the state after that hidden layer instead, 1 to ``layers`` (None: the last;
        ``"all"``: each of them, L × the shape); in the head space this is what the classifier would
        multiply if the encoder ended there (the "logit lens").
        """
        if space not in SPACES:
            raise FairNCError(f"unknown space {space!r}: choose {' or '.join(SPACES)}")
        if layer not in (None, "all", *range(1, self.layers + 1)):
            raise FairNCError(
                f"{self.name} has no hidden layer {layer}: choose 1 to {self.layers}, or all"
            )
        # the last layers of a model on several devices may not lie where its classifier does
        return self._features(input_ids, attention_mask, space, layer).to(self.device)

    def _features(
        self, input_ids: Tensor, attention_mask: Tensor, space: str, layer: int | str | None
    ) -> Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if layer in (None, self.layers):
            return (
                decoder_input(self.model, **inputs)
                if space == "head"
                else body(self.model)(**inputs)[0]
            )
        output = body(self.model)(**inputs, output_hidden_states=True)
        states = (*output.hidden_states[1:-1], output.last_hidden_state)
        hidden = states[layer - 1] if isinstance(layer, int) else torch.stack(states)
        if space == "encoder":
            return hidden
        # of all layers, where there are several: models read (B, T, D)
        batch = hidden.flatten(0, -3)
        return head(self.model, batch).unflatten(0, hidden.shape[:-2])

    @torch.no_grad()
    def labelled_features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        space: str = "head",
        labels: str = "aligned",
        layer: int | str | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features (N, D), of all layers (L, N, D), of a batch's ordinary tokens and their class
        labels (N,); no special ones.

        ``"aligned"``: the token that the position predicts, which is its own in a masked model and
        the next one in a causal model. ``"shifted"``: always the next one, as the released code
        labels masked models too.
        """
        features, input_ids, attention_mask = self._labelled(
            input_ids, attention_mask, space, labels, layer
        )
        special = torch.tensor(self.special_ids, device=input_ids.device)
        keep = attention_mask.bool() & ~torch.isin(input_ids, special)
        return features[..., keep, :], input_ids[keep]

    @torch.no_grad()
    def every_feature(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        space: str = "head",
        labels: str = "aligned",
        layer: int | str | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What ``labelled_features`` gives, and special tokens and padding beside, whose labels are
        special ids.

        How many positions are ordinary need not be known, so nothing waits for a GPU. Raises
        ``FairNCError`` if the tokenizer has no special token.
        """
        if not self.special_ids:
            raise FairNCError(
                f"{self.name}: its tokenizer has no special token to label padding by"
            )
        features, input_ids, attention_mask = self._labelled(
            input_ids, attention_mask, space, labels, layer
        )
        ids = input_ids.where(attention_mask.bool(), self.special_ids[0])
        return features.flatten(-3, -2), ids.flatten()

    def _labelled(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        space: str,
        labels: str,
        layer: int | str | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features (…, B, T, D), and (B, T) the label of each position and whether it counts."""
        if labels not in ("aligned", "shifted"):
            raise FairNCError(f"unknown labels {labels!r}: choose aligned or shifted")
        features = self.features(input_ids, attention_mask, space=space, layer=layer)
        if labels == "shifted" or self.kind == "causal":
            return features[..., :-1, :], input_ids[:, 1:], attention_mask[:, 1:]
        return features, input_ids, attention_mask

    def require_masked(self, who: str) -> None:
        """Raises ``FairNCError`` for a causal model; ``who``: who takes masked ones, as the message
        begins.
        """
        if self.kind != "masked":
            raise FairNCError(
                f"{who}; {self.name} is {self.kind}: choose one such as BERT, RoBERTa or DistilBERT"
            )

    def check_space(self, space: str) -> None:
        """Raises ``FairNCError`` where features of that space cannot be compared with the
        classifier's rows.
        """
        width, dim = self.model.config.get_text_config().hidden_size, self.weight.shape[1]
        if space == "encoder" and width != dim:
            raise FairNCError(
                f"{self.name}: the last layer has {width} dimensions and the classifier {dim}; use space head"
            )

    def log_probabilities(self, features: Tensor) -> Tensor:
        """Log-softmax over the vocabulary of classifier inputs: (N, D) → (N, V).

        In float32 for a model in half precision, whose 8 or 11 bits are too few for a logarithm.
        """
        logits = _logits(features, self.weight, self.bias)
        return _rescaled(logits, self.model.config).log_softmax(-1)

    def with_gender_direction(
        self, scale: float, *, words: tuple[str, str] = ("she", "he")
    ) -> "LanguageModel":
        """Same model, with the classifier's component along W[she] − W[he] multiplied by ``scale``.

        0 erases the direction, 1 changes nothing, 2 doubles it. A calibrated change for positive
        controls, no debiasing method: only the output rows move, the encoder and its inputs stay.
        """
        she, he = (single_token_id(self.tokenizer, word) for word in words)
        if she is None or he is None:
            raise FairNCError(f"{self.name}: {words} are not both single tokens of the vocabulary")
        weight = self.weight.detach()
        direction = nn.functional.normalize(weight[she] - weight[he], dim=0)
        edited = weight + (scale - 1) * torch.outer(weight @ direction, direction)
        return replace(self, name=f"{self.name}+gender×{scale:g}", weight=edited)


def _logits(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """W x + b; of half precision the products are added up in float32 and stay so."""
    if weight.dtype not in (torch.bfloat16, torch.float16):
        return linear(features, weight, bias)
    if features.device.type == "cuda" and not torch.is_grad_enabled():  # no gradient is known of it
        flat = torch.mm(features.flatten(0, -2), weight.mT, out_dtype=torch.float32)
        logits = flat.unflatten(0, features.shape[:-1])
    else:
        logits = linear(features.float(), weight.float())
    return logits if bias is None else logits.add_(bias)


def load(
    name: str,
    *,
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
    pickles: bool = True,
    device_map: object = None,
) -> LanguageModel:
    """Load a masked or causal language model for evaluation.

    ``name``: a folder in Hugging Face format, a folder of a PEFT adapter, whose base is loaded by the
    name that it gives, ``"smollm2"`` (asset), ``"random"`` (a tiny seeded model for trials), or a hub
    name. ``device``: ``"auto"`` (the GPU if there is one), ``"cpu"``, ``"cuda"`` … ``pickles`` False:
    weights are read from safetensors (or GGUF) alone; those of an adapter always are. ``device_map``:
    instead of a device, where the parts of a model lie that is too large for one: whatever
    ``from_pretrained`` takes, such as ``"auto"`` or ``{"": 0}``; it needs accelerate. Raises
    ``FairNCError`` if the model cannot be found or has no language modelling head.
    """
    if device_map is not None:
        if find_spec("accelerate") is None:
            raise FairNCError("device_map needs accelerate: pip install 'fairnc-utils[train]'")
        if name == "random":
            raise FairNCError("model random is small and lies on one device: give no device_map")
        if processes.several():
            raise FairNCError(
                f"device_map = {brief(device_map)}: each process of torchrun has a device of its "
                "own; start one process, or give no device_map"
            )
    device = _usable_device(device)
    if (adapter := Path(name) / _ADAPTER).is_file() and not (Path(name) / "config.json").is_file():
        base = load(
            _base_of(adapter),
            device=str(device),
            dtype=dtype,
            pickles=pickles,
            device_map=device_map,
        )
        return wrap(_with_adapter(base, adapter.parent), base.tokenizer, name=name)
    if name == "random":
        return wrap(use_onednn(random_model().to(device, dtype)), embedded_tokenizer(), name=name)
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    where = assets.locate_model(name)
    try:
        # else a folder that brings code is asked about, on a terminal
        where["trust_remote_code"] = False
        if "revision" in where and assets.hub_silence():
            where["local_files_only"] = True  # the hub's cache may have it
        config = transformers.AutoConfig.from_pretrained(**where)
        # A GGUF file, for one, names no architecture: families that can be masked language models
        # are.
        masked_family = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        architectures = config.architectures or ["ForMaskedLM" if masked_family else "ForCausalLM"]
        masked = any(arch.endswith(("ForMaskedLM", "BertForPreTraining")) for arch in architectures)
        if not masked and not any(
            arch.endswith(("ForCausalLM", "LMHeadModel")) for arch in architectures
        ):
            raise FairNCError(f"{name}: {config.architectures} has no language modelling head")
        auto = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
        only = {} if pickles or "gguf_file" in where else {"use_safetensors": True}
        placed = {} if device_map is None else {"device_map": device_map}
        model, report = auto.from_pretrained(
            **where, **only, **placed, dtype=dtype, output_loading_info=True
        )
        if missing := sorted(report["missing_keys"]):  # transformers would draw them at random
            raise ValueError(f"its weights lack {len(missing)} tensors, {missing[0]} for one")
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    except FairNCError:
        raise
    except (
        Exception
    ) as error:  # transformers and the hub raise many types; the user needs one sentence
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise FairNCError(
            f"model {name!r} cannot be loaded: {reason}. Give a local folder or a hub name"
        ) from error
    if where.get("revision") == "main":
        _warn_unpinned(name)
    if device_map is None:
        model = model.to(device)
    return wrap(use_onednn(model), tokenizer, name=name)


#: What says that a folder is an adapter, and what it may hold.
_ADAPTER, _WEIGHTS, _LONGEST = "adapter_config.json", "adapter_model.safetensors", 1 << 20


def _base_of(config: Path) -> str:
    """Name of the model that an adapter belongs to. Raises ``FairNCError`` where its configuration
    gives none, or its weights are no safetensors.
    """
    folder = config.parent
    try:
        if config.stat().st_size > _LONGEST:
            raise FairNCError(f"{config} has more than {_LONGEST} bytes: it is no adapter's")
        base = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
        if not isinstance(base, str) or not base:
            raise TypeError("base_model_name_or_path is no name")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        if isinstance(error, FairNCError):
            raise
        raise FairNCError(
            f"{config} is not as it should be ({brief(error)}); save the adapter with save_pretrained"
        ) from error
    if not (folder / _WEIGHTS).is_file():
        raise FairNCError(
            f"adapter {folder} has no {_WEIGHTS}: other files are not read; save it so"
        )
    if Path(base).resolve() == folder.resolve():
        raise FairNCError(f"{config} names the adapter itself as its base: name a model")
    return base


def _with_adapter(base: LanguageModel, folder: Path) -> nn.Module:
    """The base with an adapter in its layers."""
    try:
        import peft
    except ImportError:
        raise FairNCError(
            f"{folder} is an adapter, and peft is not installed: pip install peft"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error"
            )  # keys that are missing or fit nowhere are only warned of
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return peft.PeftModel.from_pretrained(base.model, str(folder))
    except Exception as error:  # of many types, as those of models
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FairNCError(
            f"adapter {folder} cannot be put on {base.name}: {reason}. Save it again with save_pretrained"
        ) from error


def _warn_unpinned(repository: str) -> None:
    """Say which commit of a hub model was read, as its newest one may be another tomorrow."""
    import huggingface_hub

    file = huggingface_hub.try_to_load_from_cache(repository, "config.json", revision="main")
    commit = Path(file).parent.name if isinstance(file, str) else "<commit>"
    message = f"model {repository!r} may change on the hub; to read again what was read now, name {repository}@{commit}"
    warnings.warn(message, FairNCWarning, stacklevel=3)


def wrap(model: nn.Module, tokenizer: object, *, name: str, evaluate: bool = True) -> LanguageModel:
    """A ``LanguageModel`` around a model that is already in memory, put into evaluation mode unless
    told otherwise.

    PEFT, compiled and data-parallel models are unwrapped; adapters count as part of the model.
    """
    model = unwrapped(model)
    decoder = model.get_output_embeddings()
    if decoder is None:
        raise FairNCError(
            f"{name}: the model has no output classifier; load it as ForMaskedLM or ForCausalLM"
        )
    if hasattr(decoder, "base_layer"):  # rows of W + BA are no parameter
        raise FairNCError(
            f"{name}: an adapter sits on the output classifier; take it out of target_modules"
        )
    vocabulary = getattr(model.config.get_text_config(), "vocab_size", None)
    if vocabulary and len(decoder.weight) < vocabulary:
        rows = len(decoder.weight)
        raise FairNCError(
            f"{name}: get_output_embeddings() has {rows} rows for a vocabulary of {vocabulary} tokens"
        )
    # a user's own class derives from one of transformers'
    families = (family.__name__ for family in type(model).__mro__)
    kind = (
        "masked"
        if any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in families)
        else "causal"
    )
    if evaluate:
        model.eval()
    weight, bias = decoder.weight, getattr(decoder, "bias", None)
    # accelerate keeps it in memory or on disk until it is used
    if weight.is_meta or (bias is not None and bias.is_meta):
        weight, bias = _brought_back(decoder, name)
    return LanguageModel(name, model, tokenizer, kind, weight, bias)


def _brought_back(decoder: nn.Module, name: str) -> tuple[Tensor, Tensor | None]:
    """A copy of the weight and the bias of an offloaded layer, on the device that computes it."""
    from accelerate.utils import align_module_device

    try:
        with align_module_device(decoder):
            bias = getattr(decoder, "bias", None)
            return decoder.weight.detach().clone(), None if bias is None else bias.detach().clone()
    except KeyError as error:  # of weights that two layers share, one place alone is known
        raise FairNCError(
            f"{name}: its classifier shares weights with its embeddings: let device_map put both "
            "in one place"
        ) from error


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Those of the state, in its order, wherever they lie."""
    state = model.state_dict()
    if any(tensor.is_meta for tensor in state.values()):
        from accelerate.utils.modeling import get_state_dict_offloaded_model

        brought = get_state_dict_offloaded_model(model)
        state = {name: brought.get(name, tensor) for name, tensor in state.items()}
    yield from state.values()


def _usable_device(name: str) -> torch.device:
    """``"auto"`` or a device of this machine by its name. Raises ``FairNCError`` for others."""
    if name == "auto":
        return torch.device(processes.gpu() if torch.cuda.is_available() else "cpu")
    remedy = "choose auto, cpu, or cuda where there is a GPU"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise FairNCError(f"device {name!r}: this machine has no CUDA device; choose auto or cpu")
    try:
        device = torch.device(name)
        # fails for a kind or an index that is not here, and for "meta"
        torch.zeros(1, device=device).item()
    except Exception as error:  # of a type that differs by device
        raise FairNCError(f"device {name!r} cannot be used here; {remedy}") from error
    return device


def _first_position(model: nn.Module) -> int:
    """Number of position embeddings that no token uses: RoBERTa and its kin count on from the
    padding id.
    """
    for name, module in body(model).named_modules():
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            return module.padding_idx + 1
    return 0


def _rescaled(logits: Tensor, config) -> Tensor:
    """What the families that scale (Cohere, Granite) or cap (Gemma) their logits make of them."""
    config = config.get_text_config()
    if (scale := getattr(config, "logit_scale", None)) is not None:
        logits = logits * scale
    if (scale := getattr(config, "logits_scaling", None)) is not None:
        logits = logits / scale
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
        logits = cap * (logits / cap).tanh()
    return logits


def next_sentence_head(lm: LanguageModel) -> nn.Module:
    """The next-sentence head of the checkpoint that ``lm.name`` says, on the encoder of ``lm``:
    logits (B, 2), first "is next".

    So a model that was trained since is scored as it is. Raises ``FairNCError`` if the family or
    the checkpoint has no head.
    """
    remedy = "score it with stereoset_inter_likelihood"
    options = assets.locate_model(lm.name) | {"dtype": lm.weight.dtype, "output_loading_info": True}
    try:
        head, report = transformers.AutoModelForNextSentencePrediction.from_pretrained(**options)
    except (OSError, ValueError) as error:
        family = lm.model.config.model_type
        raise FairNCError(
            f"{lm.name}: no next-sentence head can be loaded for family {family!r}; {remedy}"
        ) from error
    if missing := sorted(
        key for key in report["missing_keys"] if "pooler" in key or "seq_relationship" in key
    ):
        raise FairNCError(
            f"{lm.name} has no next-sentence head: its checkpoint lacks {missing[0]}; {remedy}"
        )
    head.base_model.embeddings, head.base_model.encoder = (
        lm.model.base_model.embeddings,
        lm.model.base_model.encoder,
    )
    return head.to(lm.device).eval()


def embedded_tokenizer():
    """The embedded model's tokenizer (BERT uncased vocabulary, 30,522 tokens)."""
    with resources.as_file(
        resources.files("fairnc_utils").joinpath("data", "bert_uncased")
    ) as folder:
        return transformers.AutoTokenizer.from_pretrained(str(folder))


def random_model(*, seed: int = 0, hidden_size: int = 32, layers: int = 2) -> nn.Module:
    """An untrained BERT over the embedded tokenizer: the chapters' trial model and null control."""
    config = transformers.AutoConfig.for_model(
        "bert",
        vocab_size=30_522,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=4 * hidden_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.AutoModelForMaskedLM.from_config(config)


def single_token_id(tokenizer, word: str) -> int | None:
    """Id of ``word`` if the tokenizer keeps it as one known token inside a sentence, else None.

    Tokenizers that mark word starts (byte-level BPE, SentencePiece) are asked for the word behind a
    space; whether a tokenizer does so is read off its output, never off its name.
    """

    def usable(ids: list[int]) -> bool:
        return (
            len(ids) == 1
            and ids[0] != tokenizer.unk_token_id
            and ids[0] not in tokenizer.all_special_ids
        )

    encode = partial(tokenizer.encode, add_special_tokens=False)
    if usable(ids := encode(f" {word}")):
        return ids[0]
    # SentencePiece puts the space there itself; elsewhere this is the word at the start of a text,
    # another token.
    if usable(ids := encode(word)) and encode(f"a {word}") == [*encode("a"), *ids]:
        return ids[0]
    return None
