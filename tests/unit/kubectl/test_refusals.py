"""What the API server refuses, in words: the missing right with the role that has it, and exit codes."""

import json

import pytest

from genai_kubectl.decisions.refusals import message, refusal
from genai_kubectl.decisions.rights import missing_right, roles
from genai_kubectl.errors import CommandFailed, Forbidden, NotFound

ALICE = (
    'genaimodels.genai-operator.io "hello" is forbidden: User "alice" cannot patch resource "genaimodels" in API group '
    '"genai-operator.io" in the namespace "demo"'
)


def status(text: str) -> str:
    return json.dumps({"kind": "Status", "message": text})


def test_a_missing_right_names_the_role_and_the_binding() -> None:
    said = str(missing_right(ALICE))
    assert 'user "alice" lacks the right to patch genaimodels (API group genai-operator.io) in namespace demo' in said
    assert (
        "kubectl create rolebinding genai-operator-user -n demo --clusterrole=genai-operator-user --user=alice" in said
    )


def test_a_service_account_is_bound_as_one() -> None:
    text = (
        'pods "x" is forbidden: User "system:serviceaccount:demo:ci" cannot create resource "pods/exec" in API group '
        '"" in the namespace "demo"'
    )
    said = str(missing_right(text))
    assert "--clusterrole=genai-profiler --serviceaccount=demo:ci" in said


def test_a_right_that_no_role_has_is_named_without_one() -> None:
    said = str(missing_right(ALICE.replace("patch", "deletecollection")))
    assert "deletecollection genaimodels" in said
    assert "ClusterRole" not in said


@pytest.mark.parametrize(("resource", "verbs", "role"), roles())
def test_every_right_of_the_table_finds_its_role(resource: str, verbs: tuple[str, ...], role: str) -> None:
    group = "genai-operator.io" if resource.startswith("genai") else ""
    for verb in verbs:
        text = (
            f'x is forbidden: User "u" cannot {verb} resource "{resource}" in API group "{group}" in the namespace "n"'
        )
        found = missing_right(text)
        assert found is not None
        assert found.role == role


@pytest.mark.parametrize(
    ("code", "body", "kind", "said"),
    [
        (403, status(ALICE), Forbidden, "lacks the right to patch"),
        (403, status("admission webhook denied it: no"), Forbidden, "admission webhook denied it"),
        (404, status('genaimodels.genai-operator.io "x" not found'), NotFound, '"x" not found'),
        (404, "404 page not found\n", NotFound, "install the operator's chart"),
        (401, status("Unauthorized"), CommandFailed, "log in again"),
        (409, status("it exists"), CommandFailed, "it exists"),
        (422, status("spec.runs: Invalid value"), CommandFailed, "spec.runs: Invalid value"),
        (500, "", CommandFailed, "the API server answered 500"),
    ],
)
def test_an_answer_becomes_an_error_with_its_exit_code(
    code: int, body: str, kind: type[CommandFailed], said: str
) -> None:
    error = refusal(code, body, "do it")
    assert type(error) is kind
    assert str(error).startswith("could not do it: ")
    assert said in str(error)
    assert "\n" not in str(error)


def test_a_long_page_is_cut() -> None:
    assert len(message("x " * 2000)) <= 400
