// Does what verifier.py does, with the JavaScript SDK's own utilities. The argument is the
// folder whose packages are used.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.argv[2] + "/package.json");
const { AgentCard, generateAgentCardSignature, verifyAgentCardSignature } = require("@a2a-js/sdk");

console.debug = () => {}; // the verifier tells of every signature that does not fit
const request = JSON.parse(readFileSync(0, "utf8"));

const verify = verifyAgentCardSignature(async (kid, jku) => {
  if (jku !== request.jku) throw new Error(`the jku is ${jku}`);
  return request.jwks.keys.find((key) => key.kid === kid);
});

const verified = [];
for (const card of request.verify) {
  verified.push(await verify(AgentCard.fromJSON(card)).then(() => "", (e) => String(e)));
}
const signed = [];
for (const card of request.sign) {
  const key = request.private;
  const sign = generateAgentCardSignature(key, { alg: key.alg, kid: key.kid, typ: "JOSE", jku: request.jku });
  signed.push(AgentCard.toJSON(await sign(AgentCard.fromJSON(card))));
}
process.stdout.write(JSON.stringify({ verified, signed }));
