// An OpenID provider on loopback. Its only argument is an object in JSON:
// redirectUri, resources, and accounts by login with their claims.
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const { redirectUri, resources, accounts } = JSON.parse(process.argv[2])

function newKeys() {
  return ['RS256', 'ES256'].map((alg) => {
    const { privateKey } = alg === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', { namedCurve: 'P-256' })
    return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg, use: 'sig' }
  })
}

let keys = newKeys()
const cookieKey = randomUUID()

function makeProvider(issuer) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    cookies: { keys: [cookieKey] },
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email'], groups: ['groups'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    clients: [
      {
        client_id: 'console',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code'],
        response_types: ['code'],
        redirect_uris: [redirectUri],
        id_token_signed_response_alg: 'ES256',
      },
      {
        client_id: 'service',
        client_secret: 'service-secret',
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
      },
    ],
    findAccount: (_ctx, sub) => (accounts[sub] ? { accountId: sub, claims: () => ({ sub, ...accounts[sub] }) } : undefined),
    extraTokenClaims: (_ctx, token) => ({ groups: accounts[token.accountId]?.groups }),
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => {
          if (!resources.includes(resource)) throw new Error('unknown resource')
          return { scope: 'invoke discover', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }
        },
      },
    },
  })
  return provider.callback()
}

let issuer
let callback
const server = createServer((req, res) => {
  if (req.method === 'POST' && req.url.startsWith('/test/rotate')) {
    // The first key of an algorithm is the one that signs.
    keys = [...newKeys(), ...(req.url.endsWith('?keep') ? keys : [])]
    callback = makeProvider(issuer)
    res.writeHead(204).end()
    return
  }
  callback(req, res)
})
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`
  callback = makeProvider(issuer)
  process.stdout.write(`READY ${issuer}\n`)
})

// The parent holds our standard input: when it is gone, so are we.
process.stdin.on('end', () => process.exit(0)).resume()
