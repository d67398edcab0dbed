"""Does what verifier.py does, with the Python SDK of version 0.3."""

import json
import sys

from a2a.types import AgentCard
from a2a.utils.signing import create_agent_card_signer, create_signature_verifier
from jwt.api_jwk import PyJWK

request = json.load(sys.stdin)
keys = {key["kid"]: PyJWK.from_dict(key) for key in request["jwks"]["keys"]}


def key_of(kid, jku):
    if jku != request["jku"]:
        raise ValueError(f"the jku is {jku}")
    return keys[kid]


def verify(card):
    try:
        create_signature_verifier(key_of, ["ES256"])(AgentCard.model_validate(card))
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return ""


def sign(card):
    key = request["private"]
    signer = create_agent_card_signer(
        PyJWK.from_dict(key), {"alg": key["alg"], "kid": key["kid"], "typ": "JOSE", "jku": request["jku"]}
    )
    return signer(AgentCard.model_validate(card)).model_dump(mode="json", by_alias=True, exclude_none=True)


json.dump(
    {"verified": [verify(card) for card in request["verify"]], "signed": [sign(card) for card in request["sign"]]},
    sys.stdout,
)
