"""One resident model and the batch that runs through it.

The shared lane holds the base and every unmerged adapter on it; its batch may mix them
(PEFT's per-row `adapter_names`). A lane of its own holds a merged or fully tuned version.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicCache

from serving.engine import penalties, sampling
from serving.engine.interface import BASE, TokenLogprob
from serving.engine.kv import Rows
from serving.engine.prefixes import Prefix, Prefixes
from serving.engine.row import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PEFT_BASE = "__base__"


class Lane:
    """A model, its running rows and their cache. Everything here runs on the engine's thread."""

    def __init__(self, model: PreTrainedModel, name: str, prefixes: Prefixes | None = None) -> None:
        self.model: Any = model
        self.name = name
        self.rows: list[Row] = []
        self.adapters: set[str] = set()
        """Adapters that can be mixed here; empty in a lane of one version."""
        config = model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", 1 << 30) or 1 << 30)
        self.vocabulary = int(config.vocab_size)
        self.device = next(model.parameters()).device
        self._layers = int(config.num_hidden_layers)
        self._cache = Rows(self._layers)
        self._prefixes = prefixes or Prefixes(0)
        self._active: str | None = None
        """Adapter that PEFT has switched on for the whole batch; None: not known."""

    def add_adapter(self, name: str, folder: Path) -> None:
        """Put one more adapter on the shared base (23-53 ms: between two steps)."""
        from peft import PeftModel

        if isinstance(self.model, PeftModel):
            self.model.load_adapter(str(folder), adapter_name=name)
        else:
            self.model = PeftModel.from_pretrained(self.model, str(folder), adapter_name=name).eval()
        self.adapters.add(name)
        self._active = None

    def drop_adapter(self, name: str) -> None:
        """Take an adapter off the base; the last one takes PEFT's layers with it."""
        self.adapters.discard(name)
        if self.adapters:
            self.model.delete_adapter(name)
        else:
            self.model = self.model.unload()
        self._active = None

    def admit(self, rows: list[Row]) -> None:
        """Run the prompts of new rows, choose their first token, and let them join the batch."""
        for row in [row for row in rows if row.sampling.prompt_logprobs]:
            self._score_prompt(row)
        rows = [row for row in rows if not row.done]
        if not rows:
            return
        together: dict[int, tuple[Prefix | None, list[Row]]] = {}
        for row in rows:
            prefix = self._prefixes.find(row.request.model, row.tokens)
            together.setdefault(id(prefix), (prefix, []))[1].append(row)
        for prefix, group in together.values():
            self._prefill(group, prefix)

    def _prefill(self, rows: list[Row], prefix: Prefix | None) -> None:
        """Run prompts that begin alike: what is known of their beginning is not computed again."""
        known = len(prefix.tokens) if prefix is not None else 0
        prompts = [row.tokens for row in rows]
        rests = [prompt[known:] for prompt in prompts]
        longest = max(map(len, rests))
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        for line, rest in enumerate(rests):
            ids[line, longest - len(rest) :] = torch.tensor(rest)
        real = torch.arange(longest)[None, :] >= (longest - torch.tensor([len(rest) for rest in rests]))[:, None]
        mask = torch.cat([torch.ones((len(rows), known), dtype=torch.bool), real], -1)
        cache: Any = DynamicCache()
        if prefix is not None:
            for layer, (keys, values) in enumerate(prefix.layers):
                cache.update(keys.expand(len(rows), -1, -1, -1), values.expand(len(rows), -1, -1, -1), layer)
        logits = self._forward(
            rows,
            ids.to(self.device),
            None if bool(mask.all()) else mask.to(self.device),
            (known + real.long().cumsum(-1) - 1).clamp(min=0).to(self.device),
            cache,
        )
        states = [(layer.keys, layer.values) for layer in cache.layers]
        if known:
            close_gaps(states, known, [longest - len(rest) for rest in rests])
        for line, row in enumerate(rows):
            self._prefixes.learn(row.request.model, prompts[line], states, line, known)
        self._choose(rows, logits)
        staying = [line for line, row in enumerate(rows) if not row.done]
        if staying:
            if len(staying) < len(rows):
                lines = torch.tensor(staying, device=self.device)
                states = [(keys[lines], values[lines]) for keys, values in states]
            self._cache.join(states, [len(prompts[line]) for line in staying])
            self.rows += [rows[line] for line in staying]

    def step(self) -> int:
        """Extend every row by one token; returns how many rows there were."""
        for line in reversed(range(len(self.rows))):
            if self.rows[line].end_early():
                self._remove(line)
        if not self.rows:
            return 0
        count = len(self.rows)
        self._cache.before_step()
        ids = torch.tensor([[row.last] for row in self.rows], device=self.device)
        positions = torch.tensor([[length] for length in self._cache.lengths], device=self.device)
        logits = self._forward(self.rows, ids, self._cache.mask(self.device), positions, self._cache)
        self._cache.after_step()
        self._choose(self.rows, logits)
        for line in reversed(range(count)):
            if self.rows[line].done:
                self._remove(line)
        return count

    def reset(self) -> None:
        """Forget the batch after an error; its rows have been told."""
        self.rows = []
        self._cache = Rows(self._layers)

    def _remove(self, line: int) -> None:
        self._cache.leave(line)
        last = self.rows.pop()
        if line < len(self.rows):
            self.rows[line] = last

    def _forward(
        self, rows: list[Row], ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        """Logits [rows, vocabulary] of the last position, float32."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **self._route([row.request.model for row in rows]),
        )
        return output.logits[:, -1].float()

    def _route(self, names: list[str]) -> dict[str, Any]:
        """Send each row through its adapter: one switch for all where they agree, PEFT's mixed batch where not."""
        if not self.adapters:
            return {}
        distinct = set(names)
        if len(distinct) > 1:
            self._switch_on()
            return {"adapter_names": [PEFT_BASE if name == BASE else name for name in names]}
        name = distinct.pop()
        if name != self._active:
            if name == BASE:
                self.model.base_model.disable_adapter_layers()
            else:
                self._switch_on()
                self.model.set_adapter(name)
            self._active = name
        return {}

    def _switch_on(self) -> None:
        if self._active in (BASE, None):
            self.model.base_model.enable_adapter_layers()
            self._active = ""

    def _choose(self, rows: list[Row], logits: torch.Tensor) -> None:
        """Choose and hand out the next token of every row. logits: [rows, vocabulary]."""
        adjusted = self._adjust(rows, logits)
        chosen = adjusted.argmax(-1)
        self._hold_to_grammar(rows, adjusted, chosen)
        drawn = [line for line, row in enumerate(rows) if row.random is not None]
        if drawn:
            at = torch.tensor(drawn, device=self.device)
            of = [rows[line] for line in drawn]
            chances = sampling.distribution(
                adjusted[at],
                torch.tensor([row.sampling.temperature for row in of], dtype=torch.float64, device=self.device),
                torch.tensor([row.sampling.top_p for row in of], dtype=torch.float64, device=self.device),
            )
            uniform = [row.random.random() for row in of if row.random is not None]
            chosen[at] = sampling.draw(chances, torch.tensor(uniform, dtype=torch.float64, device=self.device))
        tokens = chosen.tolist()
        scores = self._logprobs(rows, logits, tokens)
        sure = logits.gather(-1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
        for row, token, score, of_token in zip(rows, tokens, scores, sure.tolist(), strict=True):
            if row.counts is not None:
                row.counts[token] += 1
            row.scored.append(of_token)
            row.accept(token, score)

    def _adjust(self, rows: list[Row], logits: torch.Tensor) -> torch.Tensor:
        """Logits after penalties, logit_bias and, where a token is drawn, grammar; untouched rows are not copied."""
        adjusted = logits
        penalised = [line for line, row in enumerate(rows) if row.counts is not None]
        special = [line for line, row in enumerate(rows) if row.sampling.logit_bias or (row.constraint and row.random)]
        if penalised or special:
            adjusted = logits.clone()
        if penalised:
            at = torch.tensor(penalised, device=self.device)
            of = [rows[line] for line in penalised]
            adjusted[at] = penalties.penalise(
                adjusted[at],
                torch.stack([row.counts for row in of if row.counts is not None]),
                torch.tensor([row.sampling.frequency_penalty for row in of], device=self.device),
                torch.tensor([row.sampling.presence_penalty for row in of], device=self.device),
            )
        for line in special:
            row = rows[line]
            adjusted[line] = penalties.bias(adjusted[line], row.sampling.logit_bias)
            if row.constraint is not None and row.random is not None:
                adjusted[line] = row.constraint.allow(adjusted[line])
        return adjusted

    def _hold_to_grammar(self, rows: list[Row], logits: torch.Tensor, likeliest: torch.Tensor) -> None:
        """Where the likeliest token may not come next, put the likeliest that may in its place.

        Asking about one token is cheaper than a mask of the vocabulary, and a model that was taught the form seldom
        leaves it. logits: [rows, vocabulary]; likeliest: [rows], changed in place.
        """
        held = [(line, row.constraint) for line, row in enumerate(rows) if row.constraint and row.random is None]
        tokens = likeliest.tolist() if held else []
        for line, constraint in held:
            if not constraint.allows(tokens[line]):
                likeliest[line] = constraint.allow(logits[line]).argmax()

    def _logprobs(self, rows: list[Row], logits: torch.Tensor, tokens: list[int]) -> list[TokenLogprob | None]:
        """What each row reports of its token: nothing, unless it asked."""
        wanted = [line for line, row in enumerate(rows) if row.sampling.top_logprobs is not None]
        scores: list[TokenLogprob | None] = [None] * len(rows)
        if wanted:
            table = logits[torch.tensor(wanted, device=self.device)].log_softmax(-1)
            for position, line in enumerate(wanted):
                scores[line] = token_logprob(table[position], tokens[line], rows[line].sampling.top_logprobs or 0)
        return scores

    def _score_prompt(self, row: Row) -> None:
        """Log-probability of every prompt token given those before it (OpenAI's echo)."""
        prompt = torch.tensor([row.request.prompt], device=self.device)
        output = self.model(input_ids=prompt, use_cache=False, **self._route([row.request.model]))
        table = output.logits[0, :-1].float().log_softmax(-1)
        top = row.sampling.top_logprobs or 0
        rest = (token_logprob(table[i], token, top) for i, token in enumerate(row.request.prompt[1:]))
        row.prompt_logprobs = (TokenLogprob(row.request.prompt[0], None), *rest)
        if row.sampling.max_tokens == 0:
            row.score_only()


def close_gaps(states: list[tuple[torch.Tensor, torch.Tensor]], known: int, gaps: list[int]) -> None:
    """Move each row's known beginning over the padding that follows it: prefix, padding, rest → padding, prefix, rest.

    states: per layer keys and values [rows, heads, known + longest rest, dimension], changed in place.
    """
    for keys, values in states:
        for line, gap in enumerate(gaps):
            if gap:
                for state in (keys, values):
                    state[line, :, gap : gap + known] = state[line, :, :known].clone()


def token_logprob(logprobs: torch.Tensor, token: int, top: int) -> TokenLogprob:
    """One token's entry. logprobs: [vocabulary]."""
    best: tuple[tuple[int, float], ...] = ()
    if top:
        values, ids = logprobs.topk(min(top, logprobs.shape[-1]))
        best = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return TokenLogprob(token, float(logprobs[token]), best)
