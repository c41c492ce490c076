"""Texts for a long list of requests: cut into batches, shared out among processes, each stored before the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from data.files import digest
from eval.answer_store import AnswerStore
from eval.answers import TextAnswer, TextRequest, text_key
from eval.backends.generation import GENERATOR, TextGenerator
from eval.backends.sharing import Processes


@dataclass
class TextShare:
    """What one process wrote: answers by place in the list, and what they cost (counts as in `Costs`)."""

    answers: dict[int, TextAnswer] = field(default_factory=dict)
    prompt_tokens: int = 0
    computed_tokens: int = 0
    generated_tokens: int = 0
    stored: int = 0


def writer(identity: str) -> str:
    """What a stored text depends on beside its request: the answerer of that identity, and how texts are made."""
    return digest([identity, GENERATOR])


def text_share(
    generator: TextGenerator,
    requests: Sequence[TextRequest],
    prompts: Sequence[Sequence[int]],
    identity: str,
    store: AnswerStore | None,
    processes: Processes,
    advance: Callable[[int], None],
) -> TextShare:
    """The batches of one process: every n-th of those cut from the whole list. A stored text stands; only what is
    missing of a batch is written. `advance` hears how many requests of the list have been passed.
    """
    share = TextShare()
    done, before = 0, generator.computed
    for number, chunk in enumerate(generator.chunks(prompts)):
        done += len(chunk)
        if number % processes.world == processes.rank:
            keys = {place: text_key(writer(identity), requests[place]) for place in chunk}
            known = store.get(list(keys.values())) if store else {}
            missing = [place for place in chunk if keys[place] not in known]
            share.answers |= {place: TextAnswer(**known[keys[place]]) for place in chunk if keys[place] in known}
            if missing:
                found = generator.answer([prompts[place] for place in missing], [requests[place] for place in missing])
                if store:
                    store.put({keys[place]: asdict(answer) for place, answer in zip(missing, found, strict=True)})
                share.answers |= dict(zip(missing, found, strict=True))
                share.generated_tokens += sum(answer.tokens for answer in found)
            share.stored += len(chunk) - len(missing)
            share.prompt_tokens += sum(len(prompts[place]) for place in chunk)
        advance(done)
    share.computed_tokens = generator.computed - before
    return share
