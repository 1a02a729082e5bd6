"""Can the other tests fail? Each bug here could be in such a tool; each is caught by the proof beside it.

A bug is an edit of the source, made in a copy: the product has no switch for it. One whose text is gone from the source
fails here, and has to follow.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.guarantees.mutations import Mutation, MutationLost, Proof, found_in, mutated_copy
from tests.variants import every


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, how to plant it, the proof that must find it, and what it must find."""

    name: str
    mutations: tuple[Mutation, ...]
    proof: Proof
    finds: str

    def __str__(self) -> str:
        """For the names of tests."""
        return f"{self.name}, by {self.proof}"


IN_MEMORY, IN_A_FILE = "memory", "file"


def crashes_in(name: str, ledger: str = IN_MEMORY) -> Proof:
    """A crash at any point of that scenario, and none at all, with each fate."""
    return Proof("crashes_in", (name, ledger))


def over_http(fault: str) -> Proof:
    """One upload over a real connection, with a fault of the sandbox."""
    return Proof("one_upload", (fault,))


RECONCILE = "core/identity/reconcile.py"
RETRY = "core/limits/retry.py"
CLIENT = "registry/client.py"
ATTEMPT = "engine/upload/attempt.py"
ENTRY = "engine/upload/entry.py"
WRITER = "ledger/writer.py"

BUGS: tuple[Bug, ...] = (
    # In the order of effects.
    Bug(
        "intent after the request",
        (
            Mutation(
                ATTEMPT,
                """        if (equal := await self._intend(file.look, fence, file.sha256)) is not None:
            return equal
        self._sealed = True
""",
                "",
            ),
            Mutation(
                ATTEMPT,
                "        sent = run.registry.send_small("
                "self._call, form, file.data, on_first_byte=self._note_departure)\n"
                "        return self._sent(await sent)\n",
                """        version_id = await run.registry.send_small(self._call, form, file.data)
        await self._intend(file.look, fence, file.sha256)
        return self._sent(version_id)
""",
            ),
        ),
        crashes_in("one small entry"),
        # Or the ledger is told of an answer to what it never let leave.
        "duplicate|no move from planned to uploaded",
    ),
    Bug(
        "no seal",
        (
            Mutation(
                ATTEMPT,
                "                    if file.sha256 is not None"
                " and (ending := await self._seal(file.sha256)) is not None:\n"
                "                        return ending\n",
                "",
            ),
            Mutation(
                ATTEMPT,
                "                return self._sent(await self._upload.finish())\n",
                """                version_id = await self._upload.finish()
                await self._seal(file.sha256 or "")
                return self._sent(version_id)
""",
            ),
        ),
        crashes_in("one entry"),
        "is skipped|duplicate",
    ),
    Bug(
        "settling counted from the intent",
        (Mutation(ENTRY, "self._lost_at = self._run.clock.now()", "self._lost_at = permit.began"),),
        crashes_in("a body takes a minute"),
        "duplicate",
    ),
    Bug(
        "no fence",
        (
            Mutation(
                ATTEMPT,
                "fence = frozenset(version.version_id for version in await versions_now(run, entry))",
                "fence = frozenset()",
            ),
        ),
        crashes_in("an equal version was there before, and another one is asked for"),
        "lost|wrong",
    ),
    Bug(
        "fence of the wrong model",
        (
            Mutation(
                ATTEMPT,
                "await versions_now(run, entry))",
                'await run.registry.list_versions_for_model("another", entry.workspace_id))',
            ),
        ),
        crashes_in("an equal version was there before, and another one is asked for"),
        "lost|wrong",
    ),
    Bug(
        "no settling",
        (Mutation(RECONCILE, "return max(settle, size / SLOWEST_LANDING_RATE)", "return 0.0"),),
        crashes_in("one entry"),
        "duplicate",
    ),
    Bug(
        "short answer timeout",
        (Mutation("core/model/settings.py", "answer_timeout: float = 1200.0", "answer_timeout: float = 5.0"),),
        crashes_in("an answer takes five minutes"),
        "duplicate",
    ),
    # What is whose.
    Bug(
        "matching by name only",
        (
            Mutation(
                RECONCILE,
                "match = could_be_ours(content, sha256, file_name, fence, version, default_arch)",
                "match = Match.EXACT if version.name == content.name and version.version_id not in fence else Match.NO",
            ),
        ),
        crashes_in("somebody else publishes the same model"),
        "lost|duplicate|wrong",
    ),
    Bug(
        "near match sent again",
        (Mutation(RECONCILE, "    if len(near) == 1:", "    near = []\n    if len(near) == 1:"),),
        crashes_in("the registry shows conversions differently"),
        "duplicate",
    ),
    Bug(
        "the answer's id believed",
        (
            Mutation(
                "core/identity/arrival.py",
                "    if (version.workspace_id, version.name) != (workspace_id, name)",
                "    if sha256:\n        return Arrival.OURS\n"
                "    if (version.workspace_id, version.name) != (workspace_id, name)",
            ),
        ),
        crashes_in("the answer names another upload's version"),
        "lost|duplicate|wrong",
    ),
    Bug(
        "one version claimed twice",
        (
            Mutation(
                "engine/upload/reconcile.py",
                "candidates, claims.claimed - claims.unproved,",
                "candidates, frozenset(),",
            ),
        ),
        crashes_in("two equal entries with labels"),
        "is another entry's|two entries hold one version",
    ),
    Bug(
        "a stuck version adopted",
        (Mutation("core/identity/existing.py", "    if now is None:", "    if now is None or wait_timeout:"),),
        crashes_in("an equal version never gets ready"),
        "lost|still open",
    ),
    Bug(
        "uniqueness dropped",
        (
            Mutation("ledger/sqlite/schema.sql", "UNIQUE INDEX entries_owned_version", "INDEX entries_owned_version"),
            Mutation(
                "ledger/sqlite/writes.py", "if outcome.owned and self._is_taken(", "if not outcome and self._is_taken("
            ),
        ),
        crashes_in("the answer names an equal sibling's version", IN_A_FILE),
        "two entries hold one version",
    ),
    Bug(
        "uniqueness dropped in memory",
        (
            Mutation(
                "ledger/memory/execution.py",
                "        if version_id is None:\n            return False\n        others",
                "        if version_id is None or by_other_than:\n            return False\n        others",
            ),
        ),
        crashes_in("the answer names an equal sibling's version"),
        "two entries hold one version",
    ),
    Bug(
        "in doubt counted as done",
        (
            Mutation(
                "core/model/summary.py",
                "State.UPLOADING, State.IN_DOUBT, State.UPLOADED",
                "State.UPLOADING, State.UPLOADED",
            ),
        ),
        Proof("undecided_is_said"),
        "exit 0",
    ),
    # Politeness.
    Bug(
        "budget ignored",
        (
            Mutation(RETRY, "        if self.tokens < RETRY_COST:\n            return False\n", ""),
            Mutation(RETRY, "ATTEMPTS_PER_ENTRY = 5", "ATTEMPTS_PER_ENTRY = 1_000"),
        ),
        Proof("bounded_while_half_of_it_is_refused"),
        "uploads",
    ),
    Bug(
        "Retry-After ignored",
        (
            Mutation(RETRY, "return failure.retry_after * (1.0 + 0.1 * chance)", "return 0.1"),
            Mutation("core/limits/limiter.py", "kind.throttle.pacer.hold(now, seconds)", "pass"),
        ),
        crashes_in("throttled"),
        "impolite",
    ),
    # What the transport must not do; against a real sandbox, over HTTP.
    Bug(
        "a retry inside the client",
        (
            Mutation(
                CLIENT,
                "        answer = await self._transport.send(call, form.content_type, parts, on_first_byte)",
                """        try:
            answer = await self._transport.send(call, form.content_type, parts, on_first_byte)
        except CallFailed:
            answer = await self._transport.send(call, form.content_type, parts, on_first_byte)""",
            ),
        ),
        over_http("upload:lost-answer@1"),
        "believed|2 requests",
    ),
    Bug(
        "202 with an error body believed",
        (
            Mutation(
                "registry/upload.py",
                "answers.uploaded_version_id(decoded)",
                "answers.uploaded_version_id(decoded) or 1",
            ),
        ),
        over_http('upload:202=body:{"error":"no"}'),
        "believed version 1",
    ),
    Bug(
        "a redirect followed",
        (
            Mutation(
                "registry/http/exchange.py",
                "            request.begin_deadline()\n            await request.answered()\n",
                """            request.begin_deadline()
            await request.answered()
            if 300 <= request.head.code < 400:
                request.end()
                return await self.send(way, buffer, limits, on_first_byte)
""",
            ),
        ),
        over_http("upload:307=/v1/api/models/upload@1"),
        "ValueError|requests for one upload",
    ),
    # The ledger and its messages.
    Bug(
        "shield removed",
        (
            Mutation(
                WRITER,
                "with anyio.CancelScope(shield=True):\n                    await call.told",
                "with anyio.CancelScope():\n                    await call.told",
            ),
        ),
        Proof("a_cancelled_caller_knows"),
        "never heard",
    ),
    Bug(
        "a group that commits half",
        (
            Mutation(
                "ledger/groups.py",
                "            answers = self._storage.execute(group)\n",
                """            half = len(group) // 2
            answers = self._storage.execute(group[:half])
            self._commit()
            self._storage.begin()
            answers += self._storage.execute(group[half:])
""",
            ),
        ),
        Proof("a_group_is_whole", (IN_A_FILE,)),
        "half",
    ),
    Bug(
        "an answer to the wrong message",
        (Mutation(WRITER, "in zip(group, replies, strict=True)", "in zip(group, replies[::-1], strict=True)"),),
        Proof("each_message_gets_its_own_answer", (IN_A_FILE,)),
        "asked for",
    ),
    Bug(
        "an event before its commit",
        (
            Mutation(
                ENTRY,
                "        answer = await run.ledger.execute(\n            Arrived(",
                """        from bulkload.ledger.interface import Moved

        run.moved(entry, Moved(State.UPLOADING, State.UPLOADED))
        answer = await run.ledger.execute(
            Arrived(""",
            ),
        ),
        Proof("events_follow_their_commits", (IN_A_FILE,)),
        "is told",
    ),
)


# What a ledger promises, whichever it is.
MESSAGES = {"a_group_is_whole", "each_message_gets_its_own_answer", "events_follow_their_commits"}


def in_memory(proof: Proof) -> Proof:
    """The same with the other ledger, where it has one."""
    return replace(proof, arguments=tuple(IN_MEMORY if word == IN_A_FILE else word for word in proof.arguments))


def with_their_proofs() -> Iterator[Bug]:
    """All bugs; those of any ledger with each of the two."""
    for bug in BUGS:
        yield bug
        if bug.proof.name in MESSAGES:
            yield replace(bug, proof=in_memory(bug.proof))


@pytest.mark.parametrize("bug", every(4, [*with_their_proofs()]), ids=str)
def test_the_proof_finds_the_bug(bug: Bug, root: Path) -> None:
    """With the bug in place, something is wrong, and it is what such a bug does."""
    found = found_in(mutated_copy(root, bug.mutations), bug.proof, root)
    assert found
    assert re.search(bug.finds, found[0]), found


PROOFS = {bug.proof for bug in BUGS if bug.proof.name != "crashes_in"}


@pytest.mark.parametrize("proof", every(4, sorted(PROOFS | {in_memory(proof) for proof in PROOFS}, key=str)), ids=str)
def test_without_the_bug_nothing_is_wrong(proof: Proof, root: Path) -> None:
    """The proofs that are made for this suite; the crash points without any bug have a suite of their own."""
    assert found_in(mutated_copy(root, ()), proof, root) == []


def test_a_mutation_whose_text_is_gone_fails(root: Path) -> None:
    """Or stands there twice: nobody knows what it would do."""
    (root / "there.py").write_text("once, twice, twice")
    Mutation("there.py", "once", "never").apply(root)
    assert (root / "there.py").read_text() == "never, twice, twice"
    for file, old in (("there.py", "once"), ("there.py", "twice"), ("absent.py", "once")):
        with pytest.raises(MutationLost, match="times, not once"):
            Mutation(file, old, "never").apply(root)


def test_a_mutation_that_does_not_run_is_no_bug_found(root: Path) -> None:
    """It would be found by anything."""
    broken = Mutation("core/identity/reconcile.py", "return max(settle,", "return maximum(settle,")
    with pytest.raises(AssertionError, match="NameError"):
        found_in(mutated_copy(root, (broken,)), crashes_in("one entry"), root)
