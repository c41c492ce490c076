"""Which next tokens stand for an option label, found in the context of the prompt.

A label may continue a prompt in several one-token forms ("A", " A", "(A"); their probabilities are summed. A form
counts where `encode(prompt + form)` is `encode(prompt)` plus exactly one token.
"""

from __future__ import annotations

from typing import Any

FORMS = ("{}", " {}", "({}", " ({}")
TAIL = 48


class OptionTokens:
    """Finds label tokens for one tokenizer, remembering them per end of prompt (the last `TAIL` characters)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[tuple[str, tuple[str, ...]], tuple[tuple[int, ...], ...]] = {}

    def __call__(self, prompt: str, labels: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
        """Token ids by label, at least one each.

        Raises ValueError where a label has no one-token form in this context or two labels share a token.
        """
        key = (prompt[-TAIL:], labels)
        if key not in self._known:
            self._known[key] = self._find(prompt, labels)
        return self._known[key]

    def _find(self, prompt: str, labels: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
        start = self._encode(prompt)
        found: list[tuple[int, ...]] = []
        owner: dict[int, str] = {}
        for label in labels:
            ids: list[int] = []
            for form in FORMS:
                whole = self._encode(prompt + form.format(label))
                if len(whole) == len(start) + 1 and whole[:-1] == start and whole[-1] not in ids:
                    ids.append(whole[-1])
            if not ids:
                raise ValueError(f"option label {label!r} is no single token after {prompt[-TAIL:]!r}")
            for token in ids:
                if token in owner and owner[token] != label:
                    raise ValueError(f"option labels {owner[token]!r} and {label!r} share token {token}")
                owner[token] = label
            found.append(tuple(ids))
        return tuple(found)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
