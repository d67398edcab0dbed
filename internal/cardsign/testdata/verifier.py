"""Signs and verifies agent cards with the Python SDK's own utilities.

Reads one object from standard input and writes one: "verify" is a list of cards, whose
answer is a list of "" or what was wrong; "sign" is a list of cards, whose answer is the
list of the signed ones.
"""

import json
import sys

from a2a.client.card_resolver import parse_agent_card
from a2a.utils.signing import create_agent_card_signer, create_signature_verifier
from google.protobuf.json_format import MessageToDict
from jwt.api_jwk import PyJWK

request = json.load(sys.stdin)
keys = {key["kid"]: PyJWK.from_dict(key) for key in request["jwks"]["keys"]}


def key_of(kid, jku):
    if jku != request["jku"]:
        raise ValueError(f"the jku is {jku}")
    return keys[kid]


def verify(card):
    try:
        create_signature_verifier(key_of, ["ES256"])(parse_agent_card(card))
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return ""


def sign(card):
    key = request["private"]
    signer = create_agent_card_signer(
        PyJWK.from_dict(key), {"alg": key["alg"], "kid": key["kid"], "typ": "JOSE", "jku": request["jku"]}
    )
    return MessageToDict(signer(parse_agent_card(card)))


json.dump(
    {"verified": [verify(card) for card in request["verify"]], "signed": [sign(card) for card in request["sign"]]},
    sys.stdout,
)
