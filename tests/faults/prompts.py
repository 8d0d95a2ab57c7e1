"""The prompts of the suite: what each asks for, what befalls its attempts, and what must come of it."""

import random
from dataclasses import dataclass
from enum import StrEnum

from tests.support.history import Wish


class Kind(StrEnum):
    """What befalls a prompt, besides what befalls everybody."""

    PLAIN = "plain"
    #: Takes longer than a lease.
    SLOW = "slow"
    # The first attempt meets a provider in trouble.
    LIMITED = "limited"
    BROKEN = "broken"
    RESET = "reset"
    GARBAGE = "garbage"
    HALF = "half"
    HANGING = "hanging"
    #: Refused by the provider, for good.
    REFUSED = "refused"
    # Poison: every attempt fails.
    HOPELESS = "hopeless"
    ENDLESS = "endless"
    MEMORY = "memory"
    KILLING = "killing"
    #: The first attempt blocks its worker's event loop for a while.
    BLOCKING = "blocking"
    #: Its caller cancels it soon after.
    FICKLE = "fickle"


#: Attempts that are charged to a prompt before it fails: few, so that poison is soon over.
POISON_LIMIT = 2

#: Good prompts may lose many workers: nothing but a fault of ours may fail them.
GOOD_LIMIT = 50

#: The seconds that an attempt may take, where it would take for ever.
TIMEOUT_S = 1.5

#: What some prompts have in them: characters that databases, JSON and logs have had trouble with.
ODD = "\0☃𝄞\u2028\"'\\%s{0}"

POISON = frozenset({Kind.HOPELESS, Kind.ENDLESS, Kind.MEMORY, Kind.KILLING})

#: How often each comes, of a thousand. The rest are plain.
_USUAL = {
    Kind.SLOW: 25,
    Kind.LIMITED: 12,
    Kind.BROKEN: 12,
    Kind.RESET: 8,
    Kind.GARBAGE: 8,
    Kind.HALF: 12,
    Kind.HANGING: 6,
    Kind.REFUSED: 8,
    Kind.HOPELESS: 3,
    Kind.ENDLESS: 4,
    Kind.FICKLE: 10,
}
#: What takes whole workers along: a run may do without.
DEADLY = {Kind.MEMORY: 1, Kind.KILLING: 3, Kind.BLOCKING: 1}


def pick(chance: random.Random, *, deadly: float) -> Kind:
    """Pick a kind; those that take workers along come `deadly` times as often as usual."""
    rates = {**_USUAL, **{kind: rate * deadly for kind, rate in DEADLY.items()}}
    kinds = list(rates)
    return chance.choices([*kinds, Kind.PLAIN], [*rates.values(), 1_000 - sum(rates.values())])[0]


def kind_of(text: str) -> Kind:
    """Read the kind off a prompt's text."""
    return Kind(text.partition("[")[2].partition("]")[0])


@dataclass(frozen=True)
class Asked:
    """A prompt to be submitted: the same, however often and by whomever."""

    session: str
    number: int
    key: str
    by_message_id: bool
    kind: Kind
    #: Whether the client waits for the answer in the same request.
    waits: bool = False
    #: Of an ephemeral session: what must be found nowhere, and how long it stays.
    marker: str = ""
    ttl_s: int | None = None
    priority: int = 5
    #: How many charged attempts it may have, if it is neither poison nor in trouble with its provider.
    good_limit: int = GOOD_LIMIT
    #: Epoch milliseconds.
    not_before: int | None = None

    @property
    def text(self) -> str:
        odd = ODD if self.number % 11 == 7 else ""
        return f"{self.session} says {self.number} [{self.kind}] {self.marker}{odd}".rstrip()

    @property
    def limit(self) -> int:
        if self.kind in POISON:
            return POISON_LIMIT
        return self.good_limit if self.kind in {Kind.PLAIN, Kind.SLOW} else GOOD_LIMIT

    def request(self) -> tuple[str, dict[str, object], dict[str, str]]:
        """Its path, body and headers."""
        body: dict[str, object] = {"parts": [{"type": "text", "text": self.text}], "maxAttempts": self.limit}
        if self.priority != 5:
            body["priority"] = self.priority
        if self.kind in {Kind.ENDLESS, Kind.HANGING}:
            body["timeout"] = TIMEOUT_S
        if self.ttl_s is not None:
            body["ttl"] = self.ttl_s
        if self.not_before is not None:
            body["notBefore"] = self.not_before
        path = f"/session/{self.session}/{'message' if self.waits else 'prompt_async'}"
        if self.by_message_id:
            return path, {**body, "messageID": self.key}, {}
        return path, body, {"Idempotency-Key": self.key}

    def wish(self) -> Wish:
        """What must come of it."""
        match self.kind:
            case Kind.REFUSED:
                return Wish(self.session, self.key, self.kind, ("failed",))
            case Kind.HOPELESS | Kind.ENDLESS | Kind.MEMORY | Kind.KILLING:
                return Wish(self.session, self.key, self.kind, ("failed",), POISON_LIMIT)
            case Kind.FICKLE:
                return Wish(self.session, self.key, self.kind, ("succeeded", "cancelled"))
            case _:
                return Wish(self.session, self.key, self.kind)


def asked(session: str, number: int, seed: int, **more: object) -> Asked:
    """The prompt with this number of a session: named in one of two ways, and waited for now and then."""
    chance = random.Random(f"{seed} {session} {number}")
    by_message_id = chance.random() < 0.5
    key = f"msg_{session}_{number}" if by_message_id else f"key of {session} {number}"
    deadly = more.pop("deadly", 0.0)
    kind = pick(chance, deadly=float(str(deadly)))
    given: dict[str, object] = {"kind": kind, "waits": kind is Kind.PLAIN and chance.random() < 0.3, **more}
    if chance.random() < 0.1:
        given["priority"] = chance.randint(0, 9)
    return Asked(session, number, key, by_message_id, **given)  # type: ignore[arg-type]
