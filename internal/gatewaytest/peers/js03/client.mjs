// The scenario of doc.go through the JavaScript SDK's 0.3 client.
// usage: node client.mjs --base URL [--key SECRET] [--binding JSONRPC|HTTP+JSON|GRPC] [--agent NAME] [--no-file]
// A gRPC client has no path to name the agent behind a gateway: --agent does it in
// metadata, unless the card gives a tenant.
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import {
  ClientFactory,
  ClientFactoryOptions,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from '@a2a-js/sdk/client'
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc'

const { values: opt } = parseArgs({
  options: {
    base: { type: 'string' },
    key: { type: 'string', default: '' },
    binding: { type: 'string', default: 'JSONRPC' },
    agent: { type: 'string', default: '' },
    'no-file': { type: 'boolean', default: false },
  },
})
const base = opt.base.replace(/\/+$/, '')

const fetchImpl = (url, init = {}) => {
  const headers = new Headers(init.headers)
  if (opt.key) headers.set('Authorization', `Bearer ${opt.key}`)
  return fetch(url, { ...init, headers })
}

const textOf = (parts = []) => parts.map((p) => (p.kind === 'text' ? p.text : '')).join('')
const describe = (r) =>
  r.kind === 'task'
    ? { kind: 'task', id: r.id, state: r.status.state, text: (r.artifacts ?? []).map((a) => textOf(a.parts)).join('') }
    : { kind: r.kind, id: r.messageId, state: '', text: textOf(r.parts) }
const params = (text, configuration) => ({
  message: { kind: 'message', messageId: randomUUID(), role: 'user', parts: [{ kind: 'text', text }] },
  ...(configuration && { configuration }),
})

// The resolver replaces the last path segment of a base that does not end in a slash.
const card = await new DefaultAgentCardResolver({ fetchImpl }).resolve(`${base}/`)
const faces = [{ url: card.url, transport: card.preferredTransport ?? 'JSONRPC' }, ...(card.additionalInterfaces ?? [])]
const face = faces.find((i) => i.transport === opt.binding)
if (!face) throw new Error(`the card has no ${opt.binding}: ${JSON.stringify(faces)}`)
if (opt.binding !== 'GRPC' && !face.url.startsWith(base)) throw new Error(`the card's interface ${face.url} is not under ${base}`)
// Headers are the business of fetch, except where there is none.
const metadata = {
  before: async (args) => {
    if (opt.binding !== 'GRPC') return
    args.options ??= {}
    args.options.serviceParameters = {
      ...args.options.serviceParameters,
      ...(opt.key && { authorization: `Bearer ${opt.key}` }),
      ...(opt.agent && { 'x-signalbox-agent': opt.agent }),
    }
  },
  after: async () => {},
}
const client = await new ClientFactory(
  ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { 
    transports: [new JsonRpcTransportFactory({ fetchImpl }), new RestTransportFactory({ fetchImpl }), new GrpcTransportFactory()],
    preferredTransports: [opt.binding],
    clientConfig: { interceptors: [metadata] },
  }),
).createFromAgentCard(card)

const out = { card: { name: card.name, url: face.url, version: card.protocolVersion, streaming: !!card.capabilities?.streaming } }
out.send = describe(await client.sendMessage(params('hello')))
out.message = describe(await client.sendMessage(params('message')))

out.stream = { kinds: [], states: [], text: '' }
for await (const event of client.sendMessageStream(params('stream'))) {
  out.stream.kinds.push(event.kind)
  if (event.status) out.stream.states.push(event.status.state)
  if (event.kind === 'artifact-update') out.stream.text += textOf(event.artifact.parts)
}

if (!opt['no-file']) {
  const file = await client.sendMessage({
    message: {
      kind: 'message',
      messageId: randomUUID(),
      role: 'user',
      parts: [
        { kind: 'text', text: 'file' },
        { kind: 'file', file: { bytes: 'AAFiaW5hcnn//g==', name: 'blob.bin', mimeType: 'application/octet-stream' } },
        { kind: 'file', file: { uri: 'https://files.example/a.pdf', name: 'a.pdf', mimeType: 'application/pdf' } },
        { kind: 'data', data: { list: [1, true, 'x'], n: 3.5 } },
      ],
    },
  })
  out.file = file.artifacts[0].parts.map((p) => {
    switch (p.kind) {
      case 'file':
        return { bytes: p.file.bytes, url: p.file.uri, filename: p.file.name, mediaType: p.file.mimeType }
      case 'data':
        return { data: p.data }
      default:
        return { text: p.text }
    }
  })
}

const slow = describe(await client.sendMessage(params('slow', { blocking: false })))
for (let i = 0; i < 100; i++) {
  out.get = describe(await client.getTask({ id: slow.id }))
  if (out.get.state !== 'submitted') break
  await new Promise((resolve) => setTimeout(resolve, 20))
}
out.cancel = describe(await client.cancelTask({ id: slow.id }))

try {
  await client.getTask({ id: 'no-such-task' })
  throw new Error('an unknown task was found')
} catch (err) {
  // Only JSON-RPC has codes; elsewhere the SDK tells errors apart by their class.
  const code = err.errorResponse?.error.code ?? (err.constructor.name === 'TaskNotFoundError' || err.name === 'TaskNotFoundError' ? -32001 : 0)
  out.missing = { code, name: err.name, message: err.message }
}
process.stdout.write(`${JSON.stringify(out)}\n`)
